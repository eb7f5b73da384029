"""Names in one spelling, searched for the modules that a name or pattern matches.

Names are sorted and indexed once; a lookup only scans those that share its prefix or contain its
rarest part.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from typing import Final

from msgspec import Struct

from ckptfix.names import REGEX_MARK, is_regex
from ckptfix.runtimes.common.patterns import BUILTIN_PACKED
from ckptfix.search.effort import LONGEST_NAME
from ckptfix.search.globs import SPECIAL, Glob
from ckptfix.search.grams import TextIndex
from ckptfix.search.prefixes import Sorted
from ckptfix.search.regexes import required_pieces
from ckptfix.search.shapes import Shapes
from ckptfix.untrusted_regex import UntrustedRegex

MOST_LIKELY: Final = 64
"""Number of names compared for a suggestion, for each of two kinds."""
MOST_SUGGESTIONS: Final = 200
"""Maximum number of suggestions computed; more names that differ from each other are not typos."""
_FEW: Final = 64
"""Up to this many names are scanned rather than indexed."""
_NUMBERS: Final = re.compile(r"\d+")


class NameIndex:
    """Names in one spelling, each for a module of the checkpoint."""

    def __init__(self, module_of: Mapping[str, str]) -> None:
        self.module_of = module_of
        self._sorted = Sorted(tuple(module_of))
        self._compared = 0

    def starting(self, head: str) -> list[str]:
        """Every name that starts with these characters."""
        return self._sorted.starting(head)

    @cached_property
    def _after(self) -> dict[str, str]:
        """Name -> the next one in order, which begins with it if any does."""
        texts = self._sorted.texts
        return dict(zip(texts, chain(texts[1:], ("",)), strict=False))

    @cached_property
    def _texts(self) -> TextIndex:
        """The names of the weights, which a pattern may match."""
        return TextIndex([f"{name}.weight" for name in self._sorted.texts])

    def containing(self, part: str) -> list[str]:
        """Every name with these characters in it."""
        found = map(self._sorted.texts.__getitem__, self._texts.holding(part))
        return [name for name in found if part in name]

    def stands_for(self, name: str) -> list[str]:
        """The module of this name, or all modules below it; checkpoint names."""
        module = self.module_of.get(name)
        if module is not None and not self._after[name].startswith(name):
            return [module]  # almost always, without a search for what is below
        found = [] if module is None else [module]
        found += [self.module_of[below] for below in self.starting(name + ".")]
        return found or self._members_of_packed(name)

    def _members_of_packed(self, name: str) -> list[str]:
        """The members of a packed module that the checkpoint stores separately: `qkv_proj`."""
        parent, _, last = name.rpartition(".")
        members = [f"{parent}.{part}" for part in BUILTIN_PACKED.get(last, ())]
        if not all(member in self.module_of for member in members):
            return []
        return [self.module_of[member] for member in members]

    @cached_property
    def _shapes(self) -> Shapes:
        in_order = {name: self.module_of[name] for name in self._sorted.texts}
        return Shapes(in_order, or_with=".weight")

    def matching(self, pattern: str) -> Sequence[str]:
        """The modules that an exclude pattern covers when read permissively; checkpoint names.

        Exact name, ancestor, shell wildcards over the module name or over its weight's name,
        and `re:` patterns from the start of the name.
        """
        if is_regex(pattern):
            return self._matching_regex(pattern.removeprefix(REGEX_MARK))
        wildcard = SPECIAL.search(pattern)
        if wildcard is None:
            return self.stands_for(pattern)
        glob = Glob(pattern)
        if self._shapes.decides(glob):
            return self._shapes.matching(glob)
        head = pattern[: wildcard.start()].removesuffix(".")
        candidates = self._holding(glob.pieces, head)
        names = glob.matching(candidates)
        if len(names) < len(candidates):
            matched = set(names)
            rest = [f"{name}.weight" for name in candidates if name not in matched]
            matched.update(name.removesuffix(".weight") for name in glob.matching(rest))
            names = [name for name in candidates if name in matched]
        return [self.module_of[name] for name in names]

    def _matching_regex(self, expression: str) -> list[str]:
        candidates = self._holding(required_pieces(expression) or ())
        if not candidates:
            return []
        try:
            regex = UntrustedRegex(expression)
        except re.error:
            return []
        return [self.module_of[name] for name in candidates if regex.match(name)]

    def _holding(self, pieces: Iterable[str], head: str = "") -> Sequence[str]:
        """Names that begin with `head` and may, with the name of the weight, contain all pieces."""
        start, end = self._sorted.span(head)
        if end - start <= _FEW:
            return self._sorted.texts[start:end]
        found = self._texts.holding_all(pieces)
        within = found[bisect_left(found, start) : bisect_left(found, end)]
        return [self._sorted.texts[at] for at in within]

    @cached_property
    def _by_last_segment(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self._sorted.texts:
            found.setdefault(name.rpartition(".")[2], []).append(name)
        return found

    @cached_property
    def _nearest_of(self) -> dict[str, "_Difference | None"]:
        """Name with its numbers masked -> how the nearest name differs, None if there is none."""
        return {}

    def nearest(self, name: str) -> str | None:
        """The most similar existing name, for a suggestion.

        Compares only a few likely ones, and only once for names that differ in numbers: metadata
        with one wrong name usually has one for every module.
        """
        if len(name) > LONGEST_NAME:
            return None
        masked = _NUMBERS.sub("0", name)
        if masked in self._nearest_of:
            difference = self._nearest_of[masked]
            if difference is None:
                return None
            common = difference.applied_to(name)
            if common in self.module_of:
                return common
        if self._compared >= MOST_SUGGESTIONS:
            return None
        self._compared += 1
        found = self._most_similar(name)
        self._nearest_of[masked] = _difference(name, found) if found else None
        return found

    def _most_similar(self, name: str) -> str | None:
        parent, _, last = name.rpartition(".")
        likely = self._by_last_segment.get(last, [])[:MOST_LIKELY]
        likely += self.starting(parent)[:MOST_LIKELY]
        close = get_close_matches(name, likely, n=1, cutoff=0.8)
        return close[0] if close else None


class _Difference(Struct, frozen=True):
    """The dotted parts of a name that differ in a similar name."""

    start: int
    end: int
    instead: tuple[str, ...]

    def applied_to(self, name: str) -> str:
        parts = name.split(".")
        return ".".join((*parts[: self.start], *self.instead, *parts[self.end :]))


def _difference(name: str, other: str) -> _Difference:
    ours, theirs = name.split("."), other.split(".")
    shorter = min(len(ours), len(theirs))
    start = next((n for n in range(shorter) if ours[n] != theirs[n]), shorter)
    common = 0
    while common < shorter - start and ours[-1 - common] == theirs[-1 - common]:
        common += 1
    return _Difference(start, len(ours) - common, tuple(theirs[start : len(theirs) - common]))
