"""Which GEMMs a checkpoint has, and which of them are run; from headers alone."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from math import prod
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_SCALES, ROLES
from ckptfix.errors import CkptfixError
from ckptfix.names import NameMapper
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.common.patterns import BUILTIN_PACKED
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.family_spec import FamilySpec, PlacesSpec
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.places import WrittenPlaces
from ckptfix.runtimes.placing import runtime_modules
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.text import visible

_EXPERT: Final = re.compile(r"(.*\.\d+)\.([^.]+)")
"""An expert of a bank and the last part of its module's name."""
_EXPERT_PACKED: Final[Mapping[str, tuple[str, ...]]] = {
    "gate_up_proj": ("gate_proj", "up_proj"),
    "w13": ("w1", "w3"),
}
"""What fused MoE kernels multiply at once (vLLM 0.33.0, vllm/model_executor/layers/fused_moe)."""
_DIGITS: Final = re.compile(r"\d+")


class PlannedGemm(Struct, frozen=True):
    """Checkpoint modules that a runtime multiplies with one input."""

    name: str
    """Name in the runtime; for an expert, with its number."""
    module: str
    """Runtime module that it is part of."""
    kind: str
    members: tuple[str, ...]
    """Checkpoint modules, in packed order."""
    quant_algos: tuple[str, ...]
    """The members' format, as the table of stored formats spells it; empty if unquantized."""
    shape: tuple[int, int]
    """Total `out` of all members, and their `in`."""
    nbytes: int
    """Bytes of all tensors that are read."""
    stack: int = 0
    """Number of experts in a stacked weight `[experts, out, in]`; 0 for a matrix."""
    problem: str = ""
    """Why no GEMM can be chosen."""
    runs: bool = True
    """False: only its values are checked."""

    @property
    def quant_algo(self) -> str:
        """For the report."""
        return " and ".join(dict.fromkeys(algo or "unquantized" for algo in self.quant_algos))

    @property
    def role(self) -> str:
        """What it is in its layer: its name without numbers."""
        return _DIGITS.sub("*", self.name)


class Plan(Struct, frozen=True):
    """Everything that is read."""

    gemms: tuple[PlannedGemm, ...]
    """In the runtime's order."""
    loose: tuple[str, ...]
    """Unquantized checkpoint modules with scales of the KV cache."""
    banks: Mapping[str, tuple[str, ...]]
    """Expert bank, in the runtime's name -> its checkpoint modules."""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors that are read for GEMMs."""
        return sum(gemm.nbytes for gemm in self.gemms)


GENERIC_FAMILY: Final = Family(
    FamilySpec("", (), "modules keep the names of the checkpoint", ""),
    WrittenPlaces(PlacesSpec("", packed=dict(BUILTIN_PACKED)), NameMapper(), ""),
)
"""For architectures whose model classes have not been read."""


def companions(module: Module) -> tuple[str, ...]:
    """Roles of a module that are read."""
    return tuple(role.name for role in ROLES if role.name in module.tensors)


def plan_gemms(
    checkpoint: Checkpoint, naming: Naming, family: Family, globs: Sequence[str] = ()
) -> Plan:
    """All GEMMs of quantized modules, in packed modules and banks as the family declares.

    Raises:
        CkptfixError: a glob matches nothing, or nothing is quantized.
    """
    algos = _quant_algos(checkpoint, naming)
    modules = runtime_modules(checkpoint.modules, family)
    bound = {member for module in modules for member in module.members}
    unplaced = [
        RuntimeModule(name, (name,), "linear", True) for name in algos if name not in bound
    ]  # the runtime drops them, but their values are checked too
    planned = [
        gemm
        for module in (*modules, *unplaced)
        if any(member in algos for member in module.members)
        for gemm in _gemms_of(checkpoint, module, algos)
    ]
    loose = tuple(
        name
        for name, module in checkpoint.modules.items()
        if name not in algos and any(role in module.tensors for role in KV_SCALES)
    )
    banks = {
        module.name: module.members
        for module in modules
        if module.kind == "experts" and module.members[0] in algos
    }
    plan = Plan(tuple(planned), loose, banks)
    if not plan.gemms and not plan.loose:
        raise CkptfixError(f"{visible(checkpoint.name)}: nothing to verify: no module is quantized")
    return _matching(plan, globs) if globs else plan


def _quant_algos(checkpoint: Checkpoint, naming: Naming) -> dict[str, str]:
    """Quantized module -> quant_algo, the declared one where the tensors allow several."""
    labels = Declarations.of(checkpoint, naming.name_map).labels
    return {name: labels[name] for name, f in checkpoint.formats.items() if f.is_quantized}


def _gemms_of(
    checkpoint: Checkpoint, module: RuntimeModule, algos: Mapping[str, str]
) -> Iterable[PlannedGemm]:
    if module.kind != "experts":
        yield _gemm(checkpoint, module, module.name or module.members[0], module.members, algos)
        return
    joined: dict[str, list[tuple[int, str]]] = {}
    for member in module.members:
        if member in algos:
            name, order = _place_of_expert(member, module.name)
            joined.setdefault(name, []).append((order, member))
    for name, members in joined.items():
        in_order = tuple(member for _, member in sorted(members, key=lambda m: m[0]))
        yield _gemm(checkpoint, module, name, in_order, algos)


def _place_of_expert(member: str, bank: str) -> tuple[str, int]:
    """Name of the GEMM of an expert's projection, and its place there."""
    _, _, inside = member.rpartition(f".{bank.rpartition('.')[2]}.")
    found = _EXPERT.fullmatch(member)
    if found is None:
        return f"{bank}.{inside or member.rpartition('.')[2]}", 0
    last = found[2]
    for packed, parts in _EXPERT_PACKED.items():
        if last in parts:
            return f"{bank}.{found[1].rpartition('.')[2]}.{packed}", parts.index(last)
    return f"{bank}.{found[1].rpartition('.')[2]}.{last}", 0


def _gemm(
    checkpoint: Checkpoint,
    module: RuntimeModule,
    name: str,
    members: tuple[str, ...],
    algos: Mapping[str, str],
) -> PlannedGemm:
    stored = [checkpoint.formats[member] for member in members]
    problem = next((s.problem for s in stored if s.problem), "")
    quant_algos = tuple(algos.get(member, "") for member in members)
    if not problem and len(set(quant_algos)) > 1:
        formats = " and ".join(dict.fromkeys(algo or "unquantized" for algo in quant_algos))
        problem = f"its members are stored as {formats}, but a runtime builds one layer from them"
    stack, shapes = 0, []
    for format_ in stored:
        *outer, out, columns = format_.logical_shape or (0, 0)
        if outer and module.kind == "experts":
            stack = prod(outer)
        elif outer:  # a convolution is a GEMM over the input that its kernel covers
            out, columns = outer[0], prod([*outer[1:], out, columns])
        shapes.append((out, columns))
    if not problem and len({columns for _, columns in shapes}) > 1:
        problem = "its members have inputs of different sizes"
    nbytes = sum(
        checkpoint.modules[member].tensors[role].nbytes
        for member in members
        for role in companions(checkpoint.modules[member])
    )
    shape = sum(out for out, _ in shapes), shapes[0][1]
    return PlannedGemm(
        name, module.name or name, module.kind, members, quant_algos, shape, nbytes, stack, problem
    )


def _matching(plan: Plan, globs: Sequence[str]) -> Plan:
    patterns = [re.compile(translate(glob)) for glob in globs]
    used: set[int] = set()

    def chosen(*names: str) -> bool:
        hits = {i for i, p in enumerate(patterns) if any(map(p.match, names))}
        used.update(hits)
        return bool(hits)

    gemms = tuple(g for g in plan.gemms if chosen(g.name, g.module, *g.members))
    loose = tuple(name for name in plan.loose if chosen(name))
    for index, glob in enumerate(globs):
        if index not in used:
            raise CkptfixError(
                f"`modules` {visible(glob)}: matches no quantized module",
                advice="use a runtime or checkpoint name; * matches any characters",
            )
    return Plan(gemms, loose, plan.banks)


def sampled(plan: Plan, number: int) -> Plan:
    """The plan with at most `number` GEMMs per quant_algo, shape and role."""
    seen: dict[tuple[str, tuple[int, int], str], int] = {}
    gemms = []
    for gemm in plan.gemms:
        key = gemm.quant_algo, gemm.shape, gemm.role
        seen[key] = seen.get(key, 0) + 1
        gemms.append(replace(gemm, runs=bool(gemm.problem) or seen[key] <= number))
    return replace(plan, gemms=tuple(gemms))


def share_of(plan: Plan, rank: int, ranks: int) -> Plan:
    """The share of one of several ranks: about the same number of bytes for each."""
    loads = [0] * ranks
    mine = set()
    for gemm in sorted(plan.gemms, key=lambda gemm: -gemm.nbytes):
        least = loads.index(min(loads))
        loads[least] += gemm.nbytes
        if least == rank:
            mine.add(gemm.name)
    gemms = tuple(gemm for gemm in plan.gemms if gemm.name in mine)
    return replace(plan, gemms=gemms, loose=plan.loose if rank == 0 else ())
