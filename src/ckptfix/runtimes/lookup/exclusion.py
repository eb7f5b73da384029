"""Whether a module is excluded, as each runtime decides it."""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import cache
from typing import Final

from ckptfix.runtimes.lookup.dialects import Dialect
from ckptfix.runtimes.lookup.patterns import (
    BUILTIN_PACKED,
    Excluded,
    Packed,
    Pattern,
    by_members,
    first,
)

_WRAPPER: Final = "language_model."
_MLA_PARTS: Final = frozenset({"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"})
"""SGLang: the last part of a pattern that also hits a fused name which contains it."""


def find_exclusion(
    dialect: Dialect, patterns: Sequence[Pattern], packed: Packed, name: str
) -> Excluded | None:
    """The reason why a runtime excludes a module, None when it does not.

    Raises:
        LookupDisagreementError: the runtime would raise.
    """
    if not patterns:
        return None
    if dialect.exclusion == "vllm":
        return (
            _vllm_skipped(dialect, patterns, packed, name)
            or _vllm_substring(patterns, name)
            or _vllm_wildcard(patterns, name)
        )
    # In the mixed method SGLang asks the other way round and can raise where this does not; the
    # conformance data joins the two functions in this order.
    return _sglang_excluded(patterns, name) or _sglang_skipped(dialect, patterns, packed, name)


def _vllm_skipped(
    dialect: Dialect, patterns: Sequence[Pattern], packed: Packed, name: str
) -> Excluded | None:
    def listed(wanted: str) -> Pattern | None:
        return first(patterns, lambda text: text == wanted)

    last = name.rpartition(".")[2]
    if last in packed:
        if dialect.honours_listed_packed_name and (hit := listed(name)):
            return Excluded("exact", hit)
        return by_members(name, packed[last], listed)
    if "experts" in name:
        hit = first(patterns, lambda text: "experts" in text and name in text)
        return Excluded("experts", hit) if hit else None
    hit = listed(name)
    return Excluded("exact", hit) if hit else None


def _vllm_substring(patterns: Sequence[Pattern], name: str) -> Excluded | None:
    bare = name.removeprefix(_WRAPPER)

    def contained(text: str) -> bool:
        return text != name and (text in name or text in bare)

    hit = first(patterns, contained)
    return Excluded("substring", hit) if hit else None


def _vllm_wildcard(patterns: Sequence[Pattern], name: str) -> Excluded | None:
    hit = first(patterns, lambda text: fnmatch(name, text))
    return Excluded("wildcard", hit) if hit else None


def _sglang_skipped(
    dialect: Dialect, patterns: Sequence[Pattern], packed: Packed, name: str
) -> Excluded | None:
    last = name.rpartition(".")[2]
    table = packed
    if last not in packed and dialect.excludes_builtin_packed:
        table = BUILTIN_PACKED

    def hits(wanted: str) -> Pattern | None:
        if dialect.excludes_substrings:
            return first(patterns, lambda text: text in wanted)
        return first(patterns, lambda text: _on_path(dialect, text, wanted))

    if last in table:
        return by_members(name, table[last], hits)
    if hit := hits(name):
        return Excluded("substring" if dialect.excludes_substrings else "path", hit)
    if "gate_up_proj" in name:
        halves = {name.replace("gate_up_proj", half) for half in ("gate_proj", "up_proj")}
        both = [pattern for pattern in patterns if pattern.text in halves]
        if halves <= {pattern.text for pattern in both}:
            return Excluded("packed members", both[0])
    elif "experts" in name:
        hit = first(patterns, lambda text: "experts" in text and name in text)
        return Excluded("experts", hit) if hit else None
    return None


def _on_path(dialect: Dialect, text: str, name: str) -> bool:
    """True when the pattern's dotted parts stand in a row in the name."""
    if dialect.ignores_trailing_dots:
        text, name = text.rstrip("."), name.rstrip(".")
    return f".{text}." in f".{name}."


@cache
def _sglang_pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace(".", r"\.").replace("*", ".*"))


def _sglang_excluded(patterns: Sequence[Pattern], name: str) -> Excluded | None:
    names = (name, name.removeprefix(_WRAPPER))
    parts = set(name.split("."))
    last = name.rpartition(".")[2]
    for pattern in patterns:
        regex = _sglang_pattern(pattern.text)
        if any(regex.fullmatch(n) for n in names):
            return Excluded("wildcard" if "*" in pattern.text else "exact", pattern)
        if any(regex.fullmatch(part) for part in parts):
            return Excluded("path part", pattern)
        tail = pattern.text.rpartition(".")[2]
        if tail in _MLA_PARTS and tail in last:
            return Excluded("fused part", pattern)
    return None
