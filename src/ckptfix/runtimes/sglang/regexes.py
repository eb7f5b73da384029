"""SGLang reads exclude patterns as regular expressions, with `*` for any text.

Source: SGLang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/modelopt_quant.py,
`ModelOptQuantConfig.is_layer_excluded`.
"""

import re
from collections.abc import Set
from functools import cached_property, lru_cache, partial
from itertools import islice
from typing import Final

from msgspec import Struct

from ckptfix.runtimes.common.patterns import (
    Excluded,
    LookupDisagreementError,
    Pattern,
    PatternTable,
)
from ckptfix.search.globs import GlobTable, glob_table
from ckptfix.search.grams import PieceIndex
from ckptfix.search.regexes import required_pieces
from ckptfix.untrusted_regex import UntrustedRegex

_WRAPPER: Final = "language_model."
_MLA_PARTS: Final = frozenset({"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"})
"""The last part of a pattern that also matches a fused name which contains it."""
_SPECIAL: Final = re.compile(r"[*\\^$+?{}\[\]|()]")
_REGEX: Final = re.compile(r"[\\^$+?{}\[\]|()]")
"""Characters that make a pattern more than a text with stars."""
_UNSAFE: Final = re.compile(r"[\\(\[]")
"""Expressions with these are tried one by one, because their groups would be renumbered when
joined."""


def _expression(text: str) -> str:
    return text.replace(".", r"\.").replace("*", ".*")


class RegexTable(Struct, frozen=True, dict=True):
    """The patterns of a table as SGLang compiles them, each once."""

    table: PatternTable

    @cached_property
    def _stars(self) -> tuple[str, ...]:
        """Patterns equivalent to shell wildcards, except that `*` does not match a line break."""
        return tuple(t for t in self.table.position if "*" in t and not _REGEX.search(t))

    @cached_property
    def _star_table(self) -> GlobTable:
        return glob_table(self._stars)

    @cached_property
    def _plain(self) -> tuple[list[str], PieceIndex]:
        """Expressions with known pieces that a name must contain; they are valid."""
        found = {
            text: pieces
            for text in self.table.position
            if _REGEX.search(text) and (pieces := required_pieces(_expression(text))) is not None
        }
        return list(found), PieceIndex(list(found.values()))

    @cached_property
    def _compiled(self) -> dict[int, UntrustedRegex | None]:
        """Position -> expression, for the other patterns that are not names; None: invalid."""
        apart = {*self._plain[0], *self._stars}
        special = {t: at for t, at in self.table.position.items() if _REGEX.search(t)}
        return {at: _compile(text) for text, at in special.items() if text not in apart}

    @cached_property
    def _first_invalid(self) -> int | None:
        invalid = (at for at, regex in self._compiled.items() if regex is None)
        return min(invalid, default=None)

    @cached_property
    def _single(self) -> dict[int, UntrustedRegex]:
        texts = self.table.patterns
        return {at: r for at, r in self._compiled.items() if r and _UNSAFE.search(texts[at].text)}

    @cached_property
    def _joined(self) -> UntrustedRegex | None:
        """The others as one expression: a fast negative test."""
        others = [
            f"(?:{regex.pattern})"
            for at, regex in self._compiled.items()
            if regex and at not in self._single
        ]
        return UntrustedRegex("|".join(others)) if others else None

    @cached_property
    def _tails(self) -> dict[str, int]:
        tails: dict[str, int] = {}
        for text, at in self.table.position.items():
            tail = text.rpartition(".")[2]
            if tail in _MLA_PARTS:
                tails.setdefault(tail, at)
        return tails

    @cached_property
    def _found(self) -> dict[str, int | None]:
        """Text -> position of the first pattern that matches it: names share their parts."""
        return {}

    def find(self, name: str) -> Excluded | None:
        """The first pattern that is the name, a dotted part of it, or a piece of its last part.

        Raises:
            LookupDisagreementError: SGLang reaches a pattern that is not a regular expression.
        """
        wholes = self._wholes(name)
        parts = wholes | self._parts(name)
        last = name.rpartition(".")[2]
        positions = [at for text in parts if (at := self._first(text)) is not None]
        if self._first_invalid is not None:
            positions.append(self._first_invalid)
        positions += [at for tail, at in self._tails.items() if tail in last]
        if not positions:
            return None
        pattern = self.table.patterns[at := min(positions)]
        if at == self._first_invalid:
            raise LookupDisagreementError(f"{pattern.text} is not a valid regular expression")
        return Excluded(self._how(pattern, wholes, parts), pattern)

    @staticmethod
    def _wholes(name: str) -> set[str]:
        return {name, name.removeprefix(_WRAPPER)}

    @staticmethod
    def _parts(name: str) -> set[str]:
        return set(name.split("."))

    def _first(self, text: str) -> int | None:
        if text not in self._found:
            positions = [*self.table.positions((text,)), *self._matching(text)]
            self._found[text] = min(positions, default=None)
        return self._found[text]

    def _matching(self, text: str) -> list[int]:
        """Positions of patterns that match; of each kind, perhaps only the first."""
        regexes = self._single
        if self._joined and self._joined.fullmatch(text):
            regexes = {at: regex for at, regex in self._compiled.items() if regex}
        found = [at for at, regex in regexes.items() if regex.fullmatch(text)]
        patterns, index = self._plain
        plain = (patterns[at] for at in index.candidates(text))
        found += [self.table.position[t] for t in islice(filter(partial(_fits, text), plain), 1)]
        if "\n" in text:  # where `.*` is not a shell wildcard
            stars = filter(partial(_fits, text), self._stars)
            return [*found, *(self.table.position[star] for star in islice(stars, 1))]
        first = self._star_table.first(text)
        return found if first is None else [*found, self.table.position[self._stars[first]]]

    def _how(self, pattern: Pattern, wholes: Set[str], parts: Set[str]) -> str:
        if any(_fits(text, pattern.text) for text in wholes):
            return "wildcard" if "*" in pattern.text else "exact"
        return "path part" if any(_fits(text, pattern.text) for text in parts) else "fused part"


class WholeRegexTable(RegexTable, frozen=True, dict=True):
    """The same as SGLang 0.5.8 compiles them: for the name as it is, not for its parts."""

    @staticmethod
    def _wholes(name: str) -> set[str]:
        return {name}

    @staticmethod
    def _parts(name: str) -> set[str]:  # noqa: ARG004 - the interface
        return set()


def _fits(text: str, pattern: str) -> bool:
    """True if a valid pattern matches all of a text."""
    if not _SPECIAL.search(pattern):
        return pattern == text
    regex = _compile(pattern)
    return regex is not None and regex.fullmatch(text) is not None


@lru_cache(maxsize=1 << 16)  # most releases map patterns in the same way
def _compile(text: str) -> UntrustedRegex | None:
    try:
        return UntrustedRegex(_expression(text))
    except re.error:
        return None
