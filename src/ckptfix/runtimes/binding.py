"""Modules of a checkpoint + family -> modules of the runtime, by the names it asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.family import Family

RuntimeModuleKind = Literal["linear", "experts", "head", "embedding", "other"]
"""`other` holds a weight that is no matrix: a convolution, for example."""


@dataclass(frozen=True)
class RuntimeModule:
    """One module of the runtime that tensors of the checkpoint end in."""

    name: str
    """What the runtime asks its quantization config for."""
    members: tuple[str, ...]
    """Checkpoint modules: of a packed module in packed order, else in the checkpoint's order."""
    kind: RuntimeModuleKind
    takes_quant_config: bool
    """False: the runtime leaves it unquantized, whatever the metadata says."""


@dataclass(frozen=True)
class _Member:
    name: str
    kind: RuntimeModuleKind
    place: int
    checkpoint_name: str


def runtime_modules(modules: Mapping[str, Module], family: Family) -> tuple[RuntimeModule, ...]:
    """The runtime's modules, in the order of their first tensor in the checkpoint.

    Only modules with a weight of two or more dimensions are placed: norms and biases are never
    quantized, and no runtime asks its config for them.
    """
    grouped: dict[str, list[_Member]] = {}
    for module in modules.values():
        for member in _place(module, family):
            grouped.setdefault(member.name, []).append(member)
    return tuple(_join(members, family) for members in grouped.values())


def _join(members: list[_Member], family: Family) -> RuntimeModule:
    first = members[0]
    return RuntimeModule(
        first.name,
        tuple(m.checkpoint_name for m in sorted(members, key=lambda member: member.place)),
        first.kind,
        # vLLM and SGLang hand embeddings their config, which answers for linears, heads and
        # expert banks only (vllm 0.33.0 vllm/model_executor/layers/quantization/modelopt.py,
        # sglang 0.5.23 sglang/srt/layers/quantization/modelopt_quant.py: get_quant_method).
        first.kind not in ("embedding", "other") and not family.is_never_quantized(first.name),
    )


def _place(module: Module, family: Family) -> Iterator[_Member]:
    """Where a module goes: nowhere or to one place."""
    if not module.name or not _has_matrix(module):
        return
    name = family.mapper.map(module.name)
    if name is None:
        return
    bank = _bank_of(name, family)
    if bank is not None:
        yield _Member(bank, "experts", 0, module.name)
    elif module.weight is not None:
        kind = _kind(name, module, family)
        packed, place = name, 0
        if kind == "linear":
            packed, place = _packed(name, family)
        yield _Member(packed, kind, place, module.name)


def _has_matrix(module: Module) -> bool:
    """True if a weight, or a parameter of a stacked expert bank, has two or more dimensions."""
    if module.weight is not None:
        return len(module.weight.shape) >= 2
    return any(len(tensor.shape) >= 3 for tensor in module.tensors.values())


def _bank_of(name: str, family: Family) -> str | None:
    parts = name.split(".")
    for bank in family.spec.banks:
        if bank in parts:
            return ".".join(parts[: parts.index(bank) + 1])
    return None


def _packed(name: str, family: Family) -> tuple[str, int]:
    parent, dot, last = name.rpartition(".")
    if last not in family.packed_into:
        return name, 0
    packed, place = family.packed_into[last]
    return f"{parent}{dot}{packed}", place


def _kind(name: str, module: Module, family: Family) -> RuntimeModuleKind:
    if family.is_head(name):
        return "head"
    if family.is_embedding(name):
        return "embedding"
    return "linear" if module.weight is not None and len(module.weight.shape) == 2 else "other"
