"""The tensors of which a class takes the whole, with their shapes, and what it does with others.

A class that is built with a changed config is offered only the names that it took with the first
one, all at once: what fills fewer parameters than those did says nothing of sizes.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from place_learner import completion, learning, repair, spellings
from place_learner.masks import mask
from place_learner.settings import build_plain
from place_learner.tables import unwritten
from place_learner.variants import Config
from runtime_probe import trace
from runtime_probe.built import Built
from runtime_probe.trace import Tensors

Load = Mapping[str, Any]
"""What `trace.load` returns."""


@dataclass(frozen=True)
class Spelled:
    """The names that a class takes, numbers masked."""

    kinds: Mapping[str, frozenset[str]]
    """Kind of spelling -> the names."""
    unwritten: frozenset[str]
    """Parameters that none of them fills."""


def observed(
    runtime: Any, architecture: str, config: Config, known: Spelled | None = None
) -> tuple[dict[str, Any], Spelled | None]:
    """Shapes of the tensors that a class takes whole, or an error.

    Args:
        runtime: see `learning`.
        architecture: as it is registered.
        config: to build it with.
        known: what it took with another config; every spelling is tried without.
    """
    built = build_plain(runtime, config, architecture)
    if known is None:
        loads = {kind: load for kind, (load, _) in best(runtime, architecture, config, built)}
    else:
        loads = _again(architecture, built, config, known)
    if not loads:
        return {"error": "does not load in one pass"}, None
    left = min((left_by(load) for load in loads.values()), key=len)
    loads = {kind: load for kind, load in loads.items() if left_by(load) == left}
    names = {kind: frozenset(map(mask, load["lands"])) for kind, load in loads.items()}
    return _shapes(loads), Spelled(names, left)


def refused(runtime: Any, architecture: str, config: Config) -> dict[str, list[list[str]]]:
    """Name, masked -> for every dimension what becomes of tensors of other sizes."""
    built = build_plain(runtime, config, architecture)
    outcomes: dict[str, list[list[str]]] = {}
    loads = best(runtime, architecture, config, built)
    left = min((left_by(load) for _, (load, _) in loads), key=len)
    for _, (load, tensors) in loads:
        for name in load["lands"] if left_by(load) == left else ():
            if mask(name) not in outcomes:
                outcomes[mask(name)] = _outcomes(built, tensors, name, load)
    return outcomes


def best(
    runtime: Any, architecture: str, config: Config, built: Built
) -> list[tuple[str, tuple[Load, Tensors]]]:
    """(Kind, (load, tensors)) of all spellings that load in one pass."""
    run, stored = learning.ask_and_load(
        runtime, architecture, built, copy.deepcopy(config), repair.Notes()
    )
    loads = run["loads"].items()
    return [(k, (load, stored[k])) for k, load in loads if load["single_pass"] and load["lands"]]


def _again(architecture: str, built: Built, config: Config, known: Spelled) -> dict[str, Load]:
    """Kind -> what becomes of the names that it had with another config."""
    offered: dict[str, Tensors] = {kind: {} for kind in known.kinds}
    for kind, tensors in spellings.offered(architecture, built, config, {"loads": {}}):
        for other, names in known.kinds.items():
            if other in (kind, "own"):  # that may be another one, completed
                same = {name: tensor for name, tensor in tensors.items() if mask(name) in names}
                offered[other] = {**same, **offered[other]}
    out: dict[str, Load] = {}
    for kind, tensors in offered.items():
        load = trace.load(built, tensors, others=False)
        if not left_by(load) <= known.unwritten and kind == "own" and load["single_pass"]:
            more = completion.complete(built, load, tensors)
            load = trace.load(built, more, others=False)
        if load["single_pass"] and load["lands"]:
            out[kind] = load
    return out


def left_by(load: Load) -> frozenset[str]:
    """Parameters that a checkpoint has to fill and that stay as they were, masked."""
    return frozenset(map(mask, unwritten(load)))


def _shapes(loads: Mapping[str, Load]) -> dict[str, Any]:
    shapes: dict[str, set[tuple[int, ...]]] = {}
    each: dict[str, dict[str, list[int]]] = {}
    cut: set[str] = set()
    unused: set[str] = set()
    for load in loads.values():
        for name, shape in load["tensors"].items():
            copied = load["copied"].get(name, 0)
            if copied >= math.prod(shape):
                shapes.setdefault(mask(name), set()).add(tuple(shape))
                each.setdefault(mask(name), {})[name] = shape
            else:
                (cut if copied else unused).add(mask(name))
    cut |= unused - shapes.keys()  # a layer less is no other size
    found = {name: [list(s) for s in sorted(every)] for name, every in shapes.items()}
    several = {name: each[name] for name, every in found.items() if len(every) > 1}
    return {"shapes": found, "several": several, "cut": sorted(cut)}


def _outcomes(
    built: Built, tensors: Tensors, name: str, whole: Mapping[str, Any]
) -> list[list[str]]:
    """For every dimension: what becomes of a doubled one, a halved one, and one larger by one.

    `stops`: the loader raises; `cut`: only some of the tensor is copied; `part`: it fills less of
    its parameter; `takes`: no difference.
    """
    import torch

    tensor = tensors[name]
    alone = trace.load(built, {name: tensor}, others=False)
    is_alone = alone["single_pass"] and alone["copied"].get(name) == whole["copied"].get(name)
    base = alone if is_alone else whole
    rows = []
    for axis, size in enumerate(tensor.shape):
        row = []
        for other in (size * 2, size // 2 if size % 2 == 0 else size - 1, size + 1):
            shape = [*tensor.shape[:axis], other, *tensor.shape[axis + 1 :]]
            changed = torch.empty(shape, dtype=tensor.dtype, device="meta")
            sent = {name: changed} if is_alone else {**tensors, name: changed}
            row.append(_outcome(trace.load(built, sent, others=False), base, name, changed.numel()))
        rows.append(row)
    return rows


def _outcome(loaded: Mapping[str, Any], base: Mapping[str, Any], name: str, number: int) -> str:
    if not loaded["single_pass"]:
        return "stops"
    if loaded["copied"].get(name, 0) < number:
        return "cut"
    reached = [parameter for parameter, _ in base["lands"][name]]
    less = [p for p in reached if loaded["filled"].get(p) != base["filled"].get(p)]
    return "part" if any(not loaded["zeroed"].get(p) for p in less) else "takes"
