"""Whether config.json ties the output head to the embeddings, as a release's config objects say it.

`tie_word_embeddings` may be missing: then the class that reads config.json decides, and some of
them take the value of the other place, too (`tools/record_tied_heads.py`). Which of the two counts
differs from model class to model class.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.model_config import NESTED_CONFIGS
from ckptfix.runtimes.common.rows import covers, known_row
from ckptfix.runtimes.facts import FACTS
from ckptfix.runtimes.family_spec import FamilySpec
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import own_facts

_KEY: Final = "tie_word_embeddings"
_VALUES: Final = (None, True, False)
"""A missing key and its values, in the order of the letters of a row."""
_BEFORE_5: Final = ("4.57.6",)
_SINCE_5: Final = ("5.3.0", "5.8.1", "5.19.0")
"""Releases of transformers that were recorded, oldest first."""
_UNSETTLED: Final = "?"
_BOOLS: Final = {"t": True, "f": False}
"""Letter of a row -> value; another letter: the config object has no such attribute."""
_LETTERS: Final = {value: letter for letter, value in _BOOLS.items()}


class Ties(Struct, frozen=True):
    """What the config objects of a release have for `tie_word_embeddings`."""

    outer: bool | None
    """At the top of config.json; None where it has no such attribute, or it is not known."""
    text: bool | None
    """Of the language model's config; the same where there is none within."""
    is_known: bool
    """The classes of the config objects are known."""


def ties_of(checkpoint: Checkpoint, target: Target) -> Ties:
    """What the config objects have, by what config.json declares and by their classes."""
    config, values = checkpoint.config, checkpoint.config_values or {}
    inner = next((v for k, _ in NESTED_CONFIGS if isinstance(v := values.get(k), dict)), None)
    declared = Ties(config.tied_by_wrapper, config.tied_embeddings, is_known=False)
    if not checkpoint.is_mistral and values.get(_KEY, False) is not None:
        letters = _letters(values, inner, target)
        if letters is not None and _UNSETTLED not in letters:
            outer, text = (_BOOLS.get(letter) for letter in letters)
            return Ties(outer, text, is_known=True)
    return declared


def _letters(
    values: Mapping[str, Any], inner: Mapping[str, Any] | None, target: Target
) -> str | None:
    """A letter for the config and one for the language model's; None where it is not known."""
    kind = values.get("model_type")
    rows = _rows(kind, target, remote="auto_map" in values)
    if not rows:
        return None
    own, within = values.get(_KEY), (inner or {}).get(_KEY)
    found = {_letters_in(row, own, within, nested=inner is not None) for row in rows}
    if len(found) > 1:
        return _UNSETTLED
    letters = found.pop()
    named = (inner or {}).get("model_type")
    if within is None and isinstance(named, str) and len(rows[0]) > 1:
        defaults = {row for row in _rows(named, target, remote=False) if len(row) == 1}
        if len(defaults) == 1:
            return letters[0] + defaults.pop()
    return letters


def _letters_in(row: str, own: object, within: object, *, nested: bool) -> str:
    """The letters of one class; a config within that it does not read changes nothing."""
    own, within = (value if isinstance(value, bool) else None for value in (own, within))
    if len(row) == 1:
        outer = row if own is None else _LETTERS[own]
        return outer + (_LETTERS[within] if nested and within is not None else outer)
    outer, text = row.split("/")
    at = 3 * _VALUES.index(own) + _VALUES.index(within)
    return outer[at] + text[at]


def _rows(kind: object, target: Target, *, remote: bool) -> tuple[str, ...]:
    """Rows of every class that may read a type; empty where one of them is not known."""
    if not isinstance(kind, str):
        return ()
    runtime, version, file = runtime_named(target.runtime), target.profile_version, _recorded()
    own = file.get(target.runtime, {}).get(kind)
    is_recorded = known_row(version, runtime.config_classes) is not None
    if own is not None and is_recorded:
        return (own,)
    if remote:  # code of the checkpoint, which is not run
        return ()
    since = _SINCE_5[-1:] if is_recorded else _SINCE_5
    releases = since if runtime.takes_transformers_5(version) else _BEFORE_5
    found = (row for release in releases if (row := file.get(release, {}).get(kind)))
    return tuple(dict.fromkeys((*found, *([own] if own else ()))))


@cache
def _recorded() -> Mapping[str, Mapping[str, str]]:
    file = (FACTS / "tied_heads.json").read_bytes()
    return msgspec.json.decode(file, type=dict[str, dict[str, str]])


def tied_head(
    checkpoint: Checkpoint, target: Target, spec: FamilySpec, architecture: str
) -> tuple[bool | None, bool]:
    """Whether the head is tied, None if it is not known, and whether it depends on which counts.

    Args:
        checkpoint: for its config.json.
        target: the release.
        spec: of the family.
        architecture: the outer model class.
    """
    if spec.ties:
        return spec.ties == "always", False
    facts = own_facts("tied_heads.toml").get(target.runtime, {})
    listed = {how for how, names in facts.items() if architecture in names}
    if listed & {"always", "never"}:
        return "always" in listed, False
    ties = ties_of(checkpoint, target)
    by_wrapper = _is_by_wrapper(target, spec, listed)
    given = (checkpoint.config_values or {}).get(_KEY, False)
    if by_wrapper and not isinstance(given, bool) and not checkpoint.is_mistral:
        return bool(given), False  # where its config class takes that at all
    first, second = (ties.outer, ties.text) if by_wrapper else (ties.text, ties.outer)
    tied = first if first is not None or not by_wrapper else second
    differs = None not in (first, second) and first != second
    return tied, differs and not listed


def _is_by_wrapper(target: Target, spec: FamilySpec, listed: set[str]) -> bool:
    """Whether the value of the config around the language model's counts."""
    if spec.tied_by_text or "text" in listed:
        return False
    versions = runtime_named(target.runtime).tied_by_wrapper
    by_runtime = bool(versions) and covers(versions, target.profile_version)
    return spec.tied_by_wrapper or by_runtime or ("wrapper" in listed and not versions)
