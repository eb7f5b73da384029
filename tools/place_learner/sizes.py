"""Which sizes a class expects of a checkpoint's tensors, for changed values of config.json.

A config that the learner built a class with is changed in one value at a time. Each time the class
is built again, and the tensors of the library's model of that config are loaded: where that fills
every parameter, their shapes are those that the class expects. For the unchanged config, tensors
are also loaded with one dimension doubled or halved, to see whether the loader objects.
"""

import itertools
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from place_learner import forks, variants
from place_learner.settings import build_plain, completed, watched
from place_learner.settings_values import Path_, values_in
from place_learner.size_loads import Spelled, observed, refused
from place_learner.variants import Config

_FACTORS: Final = ((2, 1), (3, 1), (4, 1), (3, 2), (1, 4), (1, 2))
"""A number is multiplied by these in turn, until the class is built with one."""
_UNSET: Final = (80, 64)
"""Values for a key that is not set: one of them may be what the class computes without it."""
_TOGETHER: Final = 3
_TRIES: Final = 12
"""How often many numbers are changed together, and how often that is tried."""
_ACTIVATIONS: Final = ("silu", "gelu", "swiglu")
_NOT_A_SIZE: Final = re.compile(
    r"(?:_token|_token_id|_id|_ids|_index|_seed|_start|_end|_experts_per_tok|_indexes|_indices)\Z"
    r"|_(?:layers|replace|freq|step|interval|offset|period)\Z|top_?k|mrope_section"
    r"|^(?:depth|layers|n_layer|use_cache|return_dict|is_(?:encoder_)?decoder)\Z"
    r"|^(?:output_(?!dim|size)\w+|add_cross_attention|tie_word_embeddings|tie_encoder_decoder)\Z"
    r"|_(?:theta|window|length|weight|chunk_size|max_position_embeddings)\Z"
    r"|^rope_(?:scaling|parameters)\Z"
)
"""Keys of the vocabulary, of generation and training, of positions, and the number of layers."""
_OF_SIZES: Final = re.compile(
    r"dim(?:s|ension)?\Z|_size\Z|_rank\Z|heads?|groups|width|channels|inner|ffn|expand|experts"
)
"""Keys that may decide sizes where they are set."""
_SCALES_SIZES: Final = re.compile(r"ratio|mult|expan|factor|dim|size")
"""Names of numbers with a fraction that sizes are computed from."""
_READ_BY_ALL: Final = frozenset(
    {"attention_chunk_size", "head_dtype", "hidden_size_per_head", "n_head_kv", "num_kv_heads"}
    | {"num_heads", "n_heads", "max_model_dim"}
)
"""Keys that the runtimes read of every config, whatever the class."""


def learn(runtime: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """What was built and loaded for each changed config.

    Args:
        runtime: see `learning`.
        known: result of the learner for the architecture.

    Returns:
        `read`: names that are read of the config;
        `base`: shapes for the config itself, and `several`, the shape of each tensor where layers
        differ; `fewer`: for one with a layer less; `runs`: `change`,
        path -> value, and `shapes` or the `error`; `refuses`: tensor -> for every dimension what
        becomes of a doubled one, a halved one, and one that is larger by one.
    """
    architecture = known["architecture"]
    out = {key: known[key] for key in ("architecture", "source", "config_from")}
    time.sleep = lambda _: None  # releases wait before they read a config again
    config = forks.apart(partial(completed, runtime, architecture, known["config"]))
    with watched() as read:
        build_plain(runtime, config, architecture)
    base, spelled = observed(runtime, architecture, config)
    if spelled is None:
        return {**out, "status": "failed", "error": base["error"]}
    refuses = refused(runtime, architecture, config)
    fewer = variants.shrink(config, variants.LAYERS - 1)
    fewer = _tried(runtime, architecture, fewer, spelled)
    runs = list(_runs(runtime, architecture, config, read, spelled))
    found = {"base": base, "fewer": fewer, "runs": runs, "refuses": refuses}
    return {**out, "status": "built", "config": config, "read": sorted(read), **found}


def _runs(
    runtime: Any, architecture: str, config: Config, read: set[str], spelled: Spelled
) -> Iterator[dict[str, Any]]:
    def observe(changes: Mapping[Path_, Any]) -> dict[str, Any]:
        changed = variants.with_values(config, changes)
        named = {".".join(path): value for path, value in changes.items()}
        found = _tried(runtime, architecture, changed, spelled)
        if "shapes" not in found and any(type(value) is not int for value in changes.values()):
            found = _tried(runtime, architecture, changed, spelled, anew=True)
        return {"change": named, **found}

    numbers: dict[Path_, int] = {}
    others: dict[Path_, int] = {}
    stuck: list[Path_] = []
    for path, value in _read_values(config, read):
        tried = map(observe, ({path: v} for v in _others(path[-1], value)))
        runs = list(tried if value is None else _until_built(tried))
        if isinstance(value, int) and not isinstance(value, bool):
            numbers[path] = value
            if runs and "shapes" in runs[-1]:
                others[path] = runs[-1]["change"][".".join(path)]
            else:
                stuck.append(path)
        yield from runs
    for path in stuck:
        beside = [other for other in numbers if other != path and other[:-1] == path[:-1]]
        elsewhere = [other for other in stuck if other[:-1] != path[:-1]]
        pairs = (
            {path: numbers[path] * 2, other: numbers[other] * 2} for other in (*beside, *elsewhere)
        )
        yield from (run for run in _until_built(map(observe, pairs)) if "shapes" in run)
    for together in (others, switches(config, read, observe)):
        several = (run for run in map(observe, _together(together)) if "shapes" in run)
        yield from itertools.islice(several, _TOGETHER)


def switches(
    config: Config, read: set[str], observe: Callable[[Mapping[Path_, Any]], Mapping[str, Any]]
) -> dict[Path_, Any]:
    """Other values for switches, and for numbers of 0, which say that there is no such part.

    One may count where another is set, as the width of an MLP where keys are shared.
    """
    found: dict[Path_, Any] = {}
    for path, value in values_in(config, ()):
        is_off = value == 0 and not re.search(r"token|_id|_seed|_index|dropout|drop\Z", path[-1])
        if type(value) not in (bool, int) or read.isdisjoint(path) or not (value is True or is_off):
            continue
        other = not value if isinstance(value, bool) else 2
        if "shapes" in observe({path: other}):
            found[path] = other
    return found


def _together(others: Mapping[Path_, Any]) -> Iterator[dict[Path_, Any]]:
    """Many values changed at once, as other models of the class have them; fewer each time.

    What was found for single ones is proved or refuted by these.
    """
    if len(others) < 2:
        return
    draw = random.Random(0)
    for number in range(_TRIES):
        size = max(2, len(others) * 2 // (2 + number))
        yield {path: others[path] for path in draw.sample(sorted(others), min(size, len(others)))}


def _until_built(runs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Up to the first value with which the class is built and filled."""
    for run in runs:
        yield run
        if "shapes" in run:
            return


def _read_values(config: Config, read: set[str]) -> Iterator[tuple[Path_, Any]]:
    """Values that may decide sizes; None for those that are read and are not there."""
    holders: dict[Path_, set[str]] = {}
    for path, value in values_in(config, ()):
        holders.setdefault(path[:-1], set()).add(path[-1])
        if read.isdisjoint(path) or _NOT_A_SIZE.search(path[-1]):
            continue
        yield path, value
    for start, keys in holders.items():
        if any(key.endswith("hidden_size") for key in keys) or not start:
            absent = {key for key in read - keys - _READ_BY_ALL if _OF_SIZES.search(key)}
            yield from (((*start, key), None) for key in sorted(absent))


def _others(key: str, value: Any) -> Iterator[Any]:
    """Other values for a key, the first of which that build are of use."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int) and value > 0:
        for times, by in reversed(_FACTORS) if "kv" in key or "key_value" in key else _FACTORS:
            if value * times % by == 0 and value * times // by > 0:
                yield value * times // by
        if value == 1:
            yield 5
    elif isinstance(value, str) and value in _ACTIVATIONS:
        yield from (other for other in _ACTIVATIONS if other != value)
    elif isinstance(value, float) and _SCALES_SIZES.search(key):
        yield value * 2
    elif isinstance(value, list) and (doubled := _doubled(value)) != value:
        yield doubled
    elif value is None:
        yield from _UNSET


def _doubled(value: Any) -> Any:
    """A list of numbers, or one of configs for each layer, with every number twice as large."""
    if isinstance(value, list):
        return [_doubled(each) for each in value]
    if isinstance(value, dict):
        return {key: _doubled(each) for key, each in value.items()}
    return value * 2 if type(value) in (int, float) else value


def _tried(
    runtime: Any, architecture: str, config: Config, known: Spelled, *, anew: bool = False
) -> dict[str, Any]:
    """As `observed`; the error where the class does not take the config.

    Args:
        runtime: see `learning`.
        architecture: as it is registered.
        config: the changed one.
        known: what the class took with the config as it was.
        anew: offer every spelling again: the change may be one of the names.
    """
    try:  # classes keep tables of positions of every config that they were built with
        return dict(forks.apart(partial(_told, runtime, architecture, config, known, anew=anew)))
    except RuntimeError as error:
        return {"error": str(error)}


def _told(
    runtime: Any, architecture: str, config: Config, known: Spelled, *, anew: bool
) -> dict[str, Any]:
    found, spelled = observed(runtime, architecture, config, None if anew else known)
    left = spelled.unwritten - known.unwritten if spelled else frozenset()
    return {"error": f"does not fill {min(left)}"} if left else found
