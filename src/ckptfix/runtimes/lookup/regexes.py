"""SGLang reads exclude patterns as regular expressions, with `*` for any text.

Source: SGLang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/modelopt_quant.py,
`ModelOptQuantConfig.is_layer_excluded`.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ckptfix.runtimes.lookup.patterns import (
    Excluded,
    LookupDisagreementError,
    Pattern,
    PatternTable,
)
from ckptfix.untrusted_regex import UntrustedRegex

_WRAPPER: Final = "language_model."
_MLA_PARTS: Final = frozenset({"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"})
"""The last part of a pattern that also hits a fused name which contains it."""
_SPECIAL: Final = re.compile(r"[*\\^$+?{}\[\]|()]")
_UNSAFE: Final = re.compile(r"[\\(\[]")
"""Expressions with these are tried one by one: groups would change their meaning when joined."""


def _expression(text: str) -> str:
    return text.replace(".", r"\.").replace("*", ".*")


@dataclass(frozen=True)
class RegexTable:
    """The patterns of a table as SGLang compiles them, each once."""

    table: PatternTable

    @cached_property
    def _compiled(self) -> dict[int, UntrustedRegex | None]:
        """Position -> expression, for patterns that say more than a name; None: not valid."""
        special = {at: text for text, at in self.table.position.items() if _SPECIAL.search(text)}
        return {at: _compile(text) for at, text in special.items()}

    @cached_property
    def _invalid(self) -> list[int]:
        return [at for at, regex in self._compiled.items() if regex is None]

    @cached_property
    def _single(self) -> dict[int, UntrustedRegex]:
        texts = self.table.patterns
        return {at: r for at, r in self._compiled.items() if r and _UNSAFE.search(texts[at].text)}

    @cached_property
    def _joined(self) -> UntrustedRegex | None:
        """The others as one expression, which is quick to say no."""
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

    def find(self, name: str) -> Excluded | None:
        """The first pattern that is the name, a dotted part of it, or a piece of its last part.

        Raises:
            LookupDisagreementError: SGLang meets a pattern that is no regular expression.
        """
        wholes = {name, name.removeprefix(_WRAPPER)}
        asked = wholes | set(name.split("."))
        last = name.rpartition(".")[2]
        positions = [*self.table.positions(asked), *self._matching(asked), *self._invalid]
        positions += [at for tail, at in self._tails.items() if tail in last]
        if not positions:
            return None
        pattern = self.table.patterns[at := min(positions)]
        if at in self._invalid:
            raise LookupDisagreementError(f"{pattern.text} is no valid regular expression")
        return Excluded(self._how(at, pattern, wholes, asked), pattern)

    def _matching(self, asked: set[str]) -> list[int]:
        regexes = self._single
        if self._joined and any(self._joined.fullmatch(text) for text in asked):
            regexes = {at: regex for at, regex in self._compiled.items() if regex}
        return [at for at, regex in regexes.items() if any(map(regex.fullmatch, asked))]

    def _how(self, at: int, pattern: Pattern, wholes: set[str], asked: set[str]) -> str:
        regex = self._compiled.get(at)

        def fits(texts: set[str]) -> bool:
            return any(map(regex.fullmatch, texts)) if regex else pattern.text in texts

        if fits(wholes):
            return "wildcard" if "*" in pattern.text else "exact"
        return "path part" if fits(asked) else "fused part"


def _compile(text: str) -> UntrustedRegex | None:
    try:
        return UntrustedRegex(_expression(text))
    except re.error:
        return None
