"""Banks of experts: their number, and whether every expert is complete."""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.companions import COMPANIONS
from ckptfix.runtimes.structure.several import about
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_COUNTS: Final = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_BANK: Final = EXPERTS.rstrip(".")
_STACKED: Final = (("gate_up_proj", "down_proj"), ("input_linear", "output_linear"))
_FUSED: Final = re.compile(r".*\.experts\.(?:gate_up_proj|down_proj)")
_CODES: Final = "blocks"
_ORDER: Final = "g_idx"
"""Every release passes over it, and needs none."""
_BIAS: Final = "_bias"
_ROUTERS: Final = ("gate", "router")


def expert_reasons(tree: Tree) -> Iterator[Reason]:
    """Too many or too few experts, routers of the wrong size, experts with a missing module."""
    number = tree.config.number(*_COUNTS)
    if number is not None:
        yield from _counts(tree, number)
    yield from _uneven_banks(tree)
    if tree.expected.takes_fused_experts is not None:
        yield from _fused(tree, takes_plain=tree.expected.takes_fused_experts)


def _fused(tree: Tree, *, takes_plain: bool) -> Iterator[Reason]:
    """Experts as transformers 5 saves them: one tensor for each projection of all experts.

    vLLM replaces `experts.down_proj` in every such name by `experts.w2_weight`, so that the scales
    of it become names that no layer has (vllm 0.33.0, vllm/model_executor/layers/fused_moe/
    routed_experts.py).
    """
    names: list[str] = []
    for name in tree.places:
        tensors = tree.checkpoint.modules[name].tensor_names
        if _FUSED.fullmatch(name):
            names += (full for full in tensors.values() if full != name or not takes_plain)
        elif name.endswith(_BANK) and not takes_plain:
            names += (tensors[part] for part in _STACKED[0] if part in tensors)
    stops = tree.family.spec.stops_at_fused_experts
    effect = Effect.STOPS if (takes_plain if stops is None else stops) else Effect.WRONG_WEIGHTS
    if names and takes_plain:
        yield about(tree, names, "has no parameter for {}", effect)
    elif names:
        yield about(tree, names, "does not load {}: it takes experts one by one", effect)


def _counts(tree: Tree, number: int) -> Iterator[Reason]:
    for head, numbers in tree.checkpoint.expert_numbers.items():
        first = f"{head}{EXPERTS}0"
        numbered = bool(numbers) and all(map(str.isdecimal, numbers))
        if not numbered or tree.family.places.map(first) is None:
            continue
        found = set(map(int, numbers))
        bank = f"{visible(head)}.experts"
        if found - set(range(number)):
            mismatch = f"{bank} has expert {max(found):,}, but config.json declares {number:,}"
            yield Reason(f"has no parameter for it: {mismatch}", Effect.STOPS)
        elif len(found) < number:
            mismatch = f"{bank} has {len(found):,} experts, but config.json declares {number:,}"
            yield Reason(f"leaves weights uninitialised: {mismatch}", Effect.WRONG_WEIGHTS)
        yield from _router(tree, head, number)


def _router(tree: Tree, head: str, number: int) -> Iterator[Reason]:
    for part in _ROUTERS:
        module = tree.checkpoint.modules.get(f"{head}.{part}")
        weight = module.weight if module else None
        if weight is not None and len(weight.shape) == 2 and weight.shape[0] != number:
            rows = f"{visible(head)}.{part} has {weight.shape[0]:,} rows"
            yield Reason.stop(f"{rows}, but config.json declares {number:,} experts")


def _uneven_banks(tree: Tree) -> Iterator[Reason]:
    """Experts of one bank that have different modules, or a number after the module name."""
    banks: dict[str, dict[str, set[str]]] = {}
    stacked: dict[str, set[str]] = {}
    for name in tree.places:
        if name.endswith(_BANK):
            stacked.setdefault(name, set()).update(tree.checkpoint.modules[name].tensors)
        head, dot, tail = name.partition(EXPERTS)
        number, _, part = tail.partition(".")
        if dot and part.isdecimal() and not number.isdecimal():
            yield Reason(f"has no parameter for {visible(name)}", tree.stops, tensor=name)
            return
        if dot and part:
            banks.setdefault(head, {}).setdefault(number, set()).add(part)
        elif dot:
            stacked.setdefault(head + _BANK, set()).add(number)
    yield from _halves(tree, stacked)
    yield from _parameters(tree, stacked)
    for head, experts in banks.items():
        yield from _uneven(tree, head, experts)


def _halves(tree: Tree, stacked: Mapping[str, Set[str]]) -> Iterator[Reason]:
    """Banks stored as one tensor for each projection, without one of the two."""
    for bank, parts in stacked.items():
        for pair in _STACKED:
            present = [part for part in pair if part in parts]
            if len(present) == 1:
                (missing,) = set(pair) - parts
                yield tree.uninitialised(f"{bank}.{missing}", bank)


def _parameters(tree: Tree, stacked: Mapping[str, Set[str]]) -> Iterator[Reason]:
    """Banks in MXFP4 without one of their parameters, or with another one."""
    known = tree.layout.spec.bank_parameters if tree.layout else ()
    modules = tree.checkpoint.modules
    for bank, parts in stacked.items() if known else ():
        held = [modules[name] for part in parts if (name := f"{bank}.{part}") in modules]
        if not any(_CODES in module.tensors for module in held):
            continue
        own = modules[bank].tensor_names if bank in modules else {}
        for name in known:
            spelled = f"{bank}.{name.removesuffix(_BIAS)}"
            moved = spelled in modules and "bias" in modules[spelled].tensors
            if name not in own and (tree.runtime.drops_strays or not moved):
                yield tree.uninitialised(f"{bank}.{name}", bank)
        others = [own[role] for role in own if role not in (*known, _ORDER, *COMPANIONS)]
        if others:
            yield about(tree, others, "has no parameter for {}", tree.stops)


def _uneven(tree: Tree, head: str, experts: dict[str, set[str]]) -> Iterator[Reason]:
    expected = set.union(*experts.values())
    known = set(tree.layout.spec.experts) if tree.layout else set()
    if known & expected:
        expected |= known
    for number, parts in experts.items():
        if parts != expected:
            missing = f"{head}{EXPERTS}{number}.{min(expected - parts)}"
            yield tree.uninitialised(missing, f"{head}{EXPERTS}{number}.{min(parts)}")
            return
