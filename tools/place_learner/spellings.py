"""The names under which a class is offered its tensors, and which of them it takes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from place_learner import configs, state_names, variants
from place_learner.masks import mask
from place_learner.variants import Config
from runtime_probe import trace
from runtime_probe.built import Built
from runtime_probe.texts import short
from runtime_probe.trace import Tensors

_SECOND: Final = re.compile(r"\.experts\.\d+\.w[123]\.")


def without_refused(
    built: Built, loaded: dict[str, Any], tensors: Tensors
) -> tuple[dict[str, Any], Tensors]:
    """The same without the names that the loader refuses; with them where that does not help."""
    if loaded["single_pass"] or not loaded["lands"]:
        return loaded, tensors
    taken = {name: tensor for name, tensor in tensors.items() if name in loaded["lands"]}
    again = trace.load(built, taken)
    if not again["single_pass"]:
        return loaded, tensors
    return {**again, "refused": loaded["errors"]}, taken


def one_spelling(
    built: Built, loaded: dict[str, Any], tensors: Tensors
) -> tuple[dict[str, Any], Tensors]:
    """The same without a second name for the projections of an expert, which no checkpoint has."""
    reached = {
        tuple(map(tuple, spots))
        for name, spots in loaded["lands"].items()
        if not _SECOND.search(name)
    }
    second = [
        name
        for name, spots in loaded["lands"].items()
        if _SECOND.search(name) and tuple(map(tuple, spots)) in reached
    ]
    if not second:
        return loaded, tensors
    taken = {name: tensor for name, tensor in tensors.items() if name not in second}
    return trace.load(built, taken), taken


def offered(
    architecture: str, built: Built, config: Config, out: dict[str, Any]
) -> Iterator[tuple[str, Tensors]]:
    """``(kind, tensors)``: the library's names where it has the class, then the runtime's own."""
    library_class = configs.transformers_class(architecture)
    kinds: dict[str, Tensors] = {}
    if library_class is not None and getattr(library_class, "config_class", None):
        try:
            kinds = state_names.of_library(library_class, config)
        except Exception as error:
            out["names_error"] = short(error)
    tied = kinds.pop("tied", {})
    yield from kinds.items()
    if tied and "saved" in kinds:
        yield "with_tied", {**kinds["saved"], **tied}
    layers = config.get("num_hidden_layers", variants.LAYERS)
    for tensors, share in state_names.variants(architecture, built, layers):
        yield "own", tensors
        reached = out["loads"].get("own", {}).get("lands", ())
        if len(reached) >= share * len(tensors):
            return


def best_spelling(run: Mapping[str, Any]) -> str:
    """The spelling of which all tensors load in one pass; of two, the one with more matrices."""
    whole = [
        kind
        for kind in ("legacy", "saved", "own")
        if kind in run.get("loads", ()) and run["loads"][kind]["single_pass"]
    ]
    return max(whole, key=lambda kind: len(run["loads"][kind]["lands"]), default="")


def matrices(run: Mapping[str, Any]) -> set[str]:
    """Masked names of the matrices that end somewhere, by the best spelling."""
    best = best_spelling(run)
    load = run["loads"][best] if best else {"lands": (), "tensors": {}}
    return {mask(name) for name in load["lands"] if len(load["tensors"][name]) > 1}
