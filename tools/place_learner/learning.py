"""Learn one architecture: build it, record its lookups, send names through its loader.

A runtime answers `kinds`, `config_extra`, `architectures`, `model_class`, `class_file`,
`same_class`, `inner`, `config_registry`, `build` and `another_name`: see `vllm_runtime`.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from place_learner import (
    completion,
    configs,
    drafts,
    hints,
    inside,
    quantized,
    repair,
    spellings,
    stored_drafts,
    variants,
)
from place_learner.configs import Candidate
from place_learner.tables import is_whole
from place_learner.variants import Config
from runtime_probe import built as built_models
from runtime_probe import trace
from runtime_probe.built import Built
from runtime_probe.texts import short
from runtime_probe.trace import Tensors

_MOST_VARIANTS: Final = 8
_SECONDS: Final = 30
"""After which an architecture gets no further variant."""


def learn(
    runtime: Any,
    architecture: str,
    real: Mapping[str, Sequence[Candidate]],
    other: Candidate | None = None,
    *,
    quick: bool = False,
) -> dict[str, Any]:
    """The result of one architecture, see `tools/place_learner/README.md`.

    Args:
        runtime: see above.
        architecture: as it is registered.
        real: published configs, by architecture.
        other: what another runtime built this architecture with.
        quick: one config and unquantized tensors only, a fifth of the time: rows, and no verdict on
            what is stored quantized.
    """
    start = time.process_time()
    out: dict[str, Any] = {"architecture": architecture, "status": "failed", "attempts": []}
    try:
        model_class = runtime.model_class(architecture)
    except Exception as error:
        return {**out, "status": "import", "error": f"import: {short(error)}"}
    out["class_file"] = runtime.class_file(model_class)
    tries, errors = _candidates(runtime, architecture, model_class, real, other)
    tries = [*_of_target(runtime, architecture, real, tries), *tries]
    out["attempts"] += [{"error": error} for error in errors]
    first = _first(runtime, architecture, tries, out)
    if first is None:
        shown = [a for a in out["attempts"] if a.get("source") in ("real", "library")]
        return {**out, "error": (shown or out["attempts"])[0]["error"]}
    built, config, notes = first
    out.update(status="built", config=config, guessed=notes.count, made_up=[*notes.guessed])
    run, stored = ask_and_load(runtime, architecture, built, config, notes)
    if not quick:
        out["skips_drafts"] = _skips_drafts(runtime, architecture, config, run, stored)
    out["runs"] = [{"variant": "", **run}]
    out["values"] = {}
    passes = _passes(runtime, architecture, config, run, stored) if not quick else []
    for key, changed in _variants(architecture, config, start) if not quick else ():
        out["values"][key] = variants.value_of(config, key)
        again, stored = _variant(runtime, architecture, key, changed)
        out["runs"].append(again)
        if new := spellings.matrices(again) - spellings.matrices(run):
            made = _passes(runtime, architecture, changed, again, stored)
            passes += quantized.only(made, new)
    out["passes"] = passes
    out["published"] = hints.published(architecture)
    return {**out, "seconds": round(time.process_time() - start, 1)}


def _candidates(
    runtime: Any,
    architecture: str,
    model_class: Any,
    real: Mapping[str, Sequence[Candidate]],
    other: Candidate | None = None,
) -> tuple[list[Candidate], list[str]]:
    """See `configs.candidates`; published configs are also those of other names of the class."""
    same = [architecture, *runtime.same_class(architecture)]
    published = next((real[name] for name in same if name in real), ())
    registry = runtime.config_registry()
    return configs.candidates(architecture, model_class, registry, published, other)


def _of_target(
    runtime: Any,
    architecture: str,
    real: Mapping[str, Sequence[Candidate]],
    own: Sequence[Candidate],
) -> list[Candidate]:
    """Configs of a draft's target, which hold the draft's layers; none where it has a real one."""
    target = drafts.target(architecture, runtime.architectures())
    if not target or any(candidate.source == "real" for candidate in own):
        return []
    try:
        model_class = runtime.model_class(target)
    except Exception:  # the draft may be built nevertheless
        return []
    tries, _ = _candidates(runtime, target, model_class, real)
    held = ("real", "library") if drafts.is_inside(architecture) else ("library",)
    return [candidate for candidate in tries if candidate.source in held]


def _first(
    runtime: Any, architecture: str, tries: Sequence[Candidate], out: dict[str, Any]
) -> tuple[Built, Config, repair.Notes] | None:
    """The first build that works, of every config in turn: shrunk, then as it is."""
    for candidate in tries:
        if candidate.source == "real":
            configs.register_absent_class(architecture, candidate, runtime.config_registry())
        for layers in (variants.LAYERS, 0):
            config = candidate.config
            config = variants.shrink(config, layers) if layers else config
            config = hints.hinted(architecture, config)
            notes = repair.Notes()
            try:
                built = repair.build(runtime, config, architecture, runtime.config_extra, notes)
            except Exception as error:
                attempt = {"source": candidate.source, "config": candidate.origin}
                out["attempts"].append({**attempt, "layers": layers, "error": short(error, 400)})
                continue
            out.update(source=candidate.source, config_from=candidate.origin)
            return built, config, notes
    return None


def _skips_drafts(
    runtime: Any, architecture: str, config: Config, run: dict[str, Any], stored: dict[str, Tensors]
) -> str:
    """The key that counts draft layers, if the class passes over them; empty if not known."""
    draft = drafts.stored_with(architecture, runtime.architectures())
    best = spellings.best_spelling(run)
    if not draft or not best:
        return ""
    key, declared = stored_drafts.declared(config)
    notes = repair.Notes()
    try:
        made = repair.build(runtime, copy.deepcopy(declared), draft, runtime.config_extra, notes)
        other, of_draft = ask_and_load(runtime, draft, made, declared, notes)
        layers = of_draft[spellings.best_spelling(other)]
        base = run["loads"][best]
        args = runtime, architecture, declared, base, stored[best], layers
        return key if stored_drafts.skipped(*args) else ""
    except Exception:  # neither then: no verdict on a checkpoint with draft layers
        return ""


def _passes(
    runtime: Any, architecture: str, config: Config, run: dict[str, Any], stored: dict[str, Tensors]
) -> list[dict[str, Any]]:
    """What a model does with quantized tensors; nothing where no spelling loads whole."""
    best = spellings.best_spelling(run)
    if not best:
        return []
    base = {"modules": run["modules"], "load": run["loads"][best]}
    return quantized.learn(runtime, architecture, config, base, stored[best])


def _variants(architecture: str, config: Config, start: float) -> Iterator[tuple[str, Config]]:
    """Changed configs, as long as there is time."""
    yield from inside.others(architecture, config)
    for number, (key, changed) in enumerate(variants.changed(config)):
        if number >= _MOST_VARIANTS or time.process_time() - start > _SECONDS:
            return
        yield key, changed


def _variant(
    runtime: Any, architecture: str, key: str, config: Config
) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """A run with one value changed, or why there is none; the tensors that were offered."""
    given = {"variant": key, "value": variants.value_of(config, key)}
    notes = repair.Notes()
    try:
        changed = copy.deepcopy(config)
        built = repair.build(runtime, changed, architecture, runtime.config_extra, notes)
    except Exception as error:
        return {**given, "error": short(error)}, {}
    if notes.count:
        return {**given, "error": "builds only with values made up"}, {}
    run, stored = ask_and_load(runtime, architecture, built, changed, notes)
    return {**given, **run}, stored


def ask_and_load(
    runtime: Any, architecture: str, built: Built, config: Config, notes: repair.Notes
) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """The modules of a model and what its loader does with names; the tensors that were offered."""
    out: dict[str, Any] = {
        "modules": built_models.modules(built, runtime.kinds),
        "packed": dict(built.packed),
        "inner": runtime.inner(built.model),
        "mappers": built.mappers,
        "loads": {},
    }
    stored: dict[str, Tensors] = {}
    is_draft = drafts.is_draft(architecture)
    for kind, tensors in spellings.offered(architecture, built, config, out):
        others = (load for name, load in out["loads"].items() if name != "own")
        if kind == "own" and any(is_whole(load, is_draft=is_draft) for load in others):
            continue
        try:
            loaded = trace.load(built, tensors)
            while repair.fill(loaded["errors"].get("*", ""), notes):
                loaded = trace.load(built, tensors)
            loaded, taken = spellings.without_refused(built, loaded, tensors)
            if kind == "own":
                loaded, taken = spellings.one_spelling(built, loaded, taken)
        except Exception as error:
            out[f"{kind}_error"] = short(error)
            continue
        known = out["loads"].get(kind)
        if known is None or len(loaded["lands"]) > len(known["lands"]):
            out["loads"][kind], stored[kind] = loaded, taken
    _complete(architecture, built, out["loads"], stored)
    return out, stored


def _complete(
    architecture: str, built: Built, loads: dict[str, Any], stored: dict[str, Tensors]
) -> None:
    """Where no spelling fills every parameter: the best one with the names that it lacks."""
    is_draft = drafts.is_draft(architecture)
    if not loads or any(is_whole(load, is_draft=is_draft) for load in loads.values()):
        return
    best = max(loads, key=lambda kind: len(loads[kind]["lands"]))
    tensors = completion.complete(built, loads[best], stored[best])
    loaded, taken = spellings.without_refused(built, trace.load(built, tensors), tensors)
    if len(loaded["never_written"]) < len(loads[best]["never_written"]):
        loads["own"], stored["own"] = loaded, taken
