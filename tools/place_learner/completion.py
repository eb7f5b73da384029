"""Names for the parameters that the known spellings leave unwritten.

A loader may take part of a model under names that nothing announces. For each unwritten parameter
its own name is changed as the names that were loaded differ from their places, and as the
loader's error shows; what reaches the parameter is kept.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from place_learner import state_names
from place_learner.masks import mask
from place_learner.tables import unwritten
from runtime_probe import trace
from runtime_probe.built import Built
from runtime_probe.trace import Tensors

_SECONDS: Final = 40
_MOST_PREFIXES: Final = 6
_DOUBLED: Final = re.compile(r"(?:^|(?<=[\s'\".]))((?:\w+\.)+)\1")
_USUAL: Final[tuple[tuple[str, str], ...]] = (
    ("", ""),
    ("model.", ""),
    ("", "model."),
    ("language_model.model.", "language_model."),
    ("language_model.model.", "model.language_model."),
    ("language_model.", "model."),
    ("language_model.", ""),
    ("model.", "mtp."),
    ("model.", "backbone."),
    ("", "mtp."),
    ("model.", "mtp.0."),
    ("visual.", "vision_tower."),
)
"""Start of a place -> start of the name that is stored."""
Rename = Callable[[str], str]


def complete(built: Built, loaded: Mapping[str, Any], tensors: Tensors) -> Tensors:
    """The tensors that were loaded, and those found for parameters that they leave unwritten."""
    out = {name: tensor for name, tensor in tensors.items() if name in loaded["lands"]}
    start = time.process_time()
    groups: dict[str, list[str]] = {}
    for name in unwritten(loaded):
        groups.setdefault(mask(name), []).append(name)
    aliases = _aliases(built)
    prefixes = [*_prefixes(loaded["lands"]), *_USUAL]
    for group in groups.values():
        if time.process_time() - start > _SECONDS:
            break
        made = _spelled(built, group[0], aliases, prefixes)
        if made is None:
            continue
        rename, is_whole = made
        for name in group:
            out.update(_stored(built, name, aliases, rename, is_whole=is_whole))
    return out


def _spelled(
    built: Built,
    name: str,
    aliases: Mapping[str, list[str]],
    prefixes: list[tuple[str, str]],
) -> tuple[Rename, bool] | None:
    """How the tensors of a parameter are renamed, and whether it is stored in one."""
    tried: set[frozenset[str]] = set()
    for is_whole in (False, True):
        left = list(_renames(prefixes))[::-1]
        while left:
            rename = left.pop()
            tensors = _stored(built, name, aliases, rename, is_whole=is_whole)
            if frozenset(tensors) in tried:
                continue
            tried.add(frozenset(tensors))
            loaded = trace.load(built, tensors)
            if _reaches(loaded, name):
                return rename, is_whole
            doubled = _DOUBLED.search(" ".join(loaded["errors"].values()))
            if doubled:
                left.append(_without(rename, doubled[1]))
    return None


def _stored(
    built: Built, name: str, aliases: Mapping[str, list[str]], rename: Rename, *, is_whole: bool
) -> Tensors:
    parameter = built.model.get_parameter(name)
    out: Tensors = {}
    for alias in aliases.get(name, [name]):
        own = {alias: parameter} if is_whole else state_names.of_parameter(built, alias, parameter)
        out.update({rename(stored): tensor for stored, tensor in own.items()})
    return out


def _reaches(loaded: Mapping[str, Any], name: str) -> bool:
    return any(place == name for reached in loaded["lands"].values() for place, _ in reached)


def _aliases(built: Built) -> Mapping[str, list[str]]:
    """Parameter -> the names under which it is in the model, if those are several.

    Names of wrappers, with a leading underscore, are in no checkpoint.
    """
    first: dict[int, str] = {}
    out: dict[str, list[str]] = {}
    for name, parameter in built.model.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        out.setdefault(known, []).append(name)
    return {
        known: [n for n in names if "._" not in n] or [known]
        for known, names in out.items()
        if len(names) > 1
    }


def _prefixes(lands: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the names that were loaded start, where their places start otherwise; most used first."""
    found: Counter[tuple[str, str]] = Counter()
    for tensor, reached in lands.items():
        stored = tensor.split(".")[:-2]
        place = reached[0][0].split(".")[:-2] if reached else stored
        while stored and place and stored[-1] == place[-1]:
            stored.pop()
            place.pop()
        if stored != place:
            start = tuple(".".join([*parts, ""]) if parts else "" for parts in (place, stored))
            found[start[0], start[1]] += 1
    return [pair for pair, _ in found.most_common(_MOST_PREFIXES)]


def _renames(prefixes: list[tuple[str, str]]) -> Iterator[Rename]:
    for old, new in dict.fromkeys(prefixes):
        yield partial(_restarted, old, new)
    yield lambda name: name.replace(".mlp.fc", ".fc")


def _restarted(old: str, new: str, name: str) -> str:
    return new + name.removeprefix(old) if name.startswith(old) else name


def _without(rename: Rename, part: str) -> Rename:
    """The same without a part that the loader adds itself."""
    return lambda name: rename(name).replace(part, "", 1)
