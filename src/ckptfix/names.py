"""The declarative name mapper: ordered rules that rewrite dotted module names.

Pure: knows nothing of files, tensors or runtimes. Names are dotted paths
(``language_model.backbone.layers.0.mixer.in_proj``) or patterns over them
(``language_model.backbone.layers.1*``, ``re:.*vision.*``).
"""

import re
from collections import deque
from collections.abc import Iterable
from functools import cached_property
from typing import Final, Literal

from msgspec import Struct

from ckptfix.search.effort import LONGEST_NAME, NameLengthError
from ckptfix.search.grams import PieceIndex
from ckptfix.search.regexes import required_pieces
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

RuleKind = Literal["prefix", "substr", "suffix", "regex"]

REGEX_MARK: Final = "re:"
"""Patterns that start with this are regular expressions (compressed-tensors' convention)."""

_FEW_RULES: Final = 16
"""Up to this many rules are tried in order; more are indexed by the text a name must contain."""

_REMEMBERED: Final = 100_000
"""Number of names whose mapping is cached: two files, before and after a plan, contain the same
names."""

_CLASS_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9_]*\Z")
_SEGMENT_ENDS: Final = ".*"


def is_class_name(name: str) -> bool:
    """True for ``Linear``: a target that names a layer class, not a module."""
    return _CLASS_NAME.match(name) is not None


def is_regex(name: str) -> bool:
    """True for a ``re:`` pattern."""
    return name.startswith(REGEX_MARK)


class Rule(Struct, frozen=True, dict=True):
    """One rewriting step.

    A ``prefix``, ``suffix`` or ``substr`` rule matches whole dotted segments: ``backbone``
    hits ``backbone.x`` and ``backbone*`` but not ``backbone2.x``. With ``whole_segments``
    false it matches any characters. ``new`` None drops the whole name.
    """

    kind: RuleKind
    old: str
    new: str | None
    whole_segments: bool = True

    @cached_property
    def _regex(self) -> UntrustedRegex:
        return UntrustedRegex(self.old)

    def __str__(self) -> str:
        new = "(drop)" if self.new is None else visible(self.new) or "(nothing)"
        return f"{self.kind} {visible(self.old) or '(any)'} -> {new}"

    def apply(self, name: str) -> str | None:
        """The rewritten name, the same name when the rule does not match, None to drop it."""
        if is_class_name(name):
            return name
        match self.kind:
            case "prefix":
                return name if is_regex(name) else self._apply_prefix(name)
            case "suffix":
                return name if is_regex(name) else self._apply_suffix(name)
            case "substr":
                return self._apply_substr(name)
            case "regex":
                if self.new is None:
                    return None if self._regex.search(name) else name
                return self._regex.sub(self.new, name)

    def _starts(self, name: str, prefix: str) -> bool:
        if not name.startswith(prefix):
            return False
        if not self.whole_segments or prefix.endswith(".") or prefix == "":
            return True
        rest = name[len(prefix) :]
        return rest == "" or rest[0] in _SEGMENT_ENDS

    def _ends(self, name: str, suffix: str) -> bool:
        if not name.endswith(suffix):
            return False
        if not self.whole_segments or suffix.startswith(".") or suffix == "":
            return True
        rest = name[: len(name) - len(suffix)]
        return rest == "" or rest[-1] in _SEGMENT_ENDS

    def _apply_prefix(self, name: str) -> str | None:
        if not self._starts(name, self.old):
            return name
        if self.new is None:
            return None
        # `a -> a.b` must not turn `a.b.x` into `a.b.b.x` on a second run.
        if self.new.startswith(self.old) and self._starts(name, self.new):
            return name
        rest = name[len(self.old) :]
        return rest.removeprefix(".") if self.new == "" else self.new + rest

    def _apply_suffix(self, name: str) -> str | None:
        if not self._ends(name, self.old):
            return name
        if self.new is None:
            return None
        if self.new.endswith(self.old) and self._ends(name, self.new):
            return name
        rest = name[: len(name) - len(self.old)]
        return rest.removesuffix(".") if self.new == "" else rest + self.new

    def _apply_substr(self, name: str) -> str | None:
        if self.old not in name:
            return name
        if not self.whole_segments:
            return None if self.new is None else name.replace(self.old, self.new)
        new = self.new
        if new is None:
            return None if self._segments.search(name) else name
        return self._segments.sub(lambda _: new, name)

    @cached_property
    def _segments(self) -> re.Pattern[str]:
        """`old` as whole dotted segments."""
        left = r"(?<![^.*])" if not self.old.startswith(".") else ""
        right = r"(?![^.*])" if not self.old.endswith(".") else ""
        return re.compile(left + re.escape(self.old) + right)

    @property
    def pieces(self) -> list[str]:
        """Text that a name must contain for the rule to change it; empty if unknown."""
        return required_pieces(self.old) or [] if self.kind == "regex" else [self.old]


class Mapped(Struct, frozen=True):
    """The result of mapping one name."""

    name: str | None
    """The new name; None if a rule dropped it."""
    rules: tuple[int, ...] = ()
    """Indices of the rules that changed it, in order."""


class NameMapper(Struct, frozen=True, dict=True):
    """Ordered rules; each is applied to the result of the one before."""

    rules: tuple[Rule, ...] = ()

    @property
    def is_identity(self) -> bool:
        """True if it changes no name."""
        return not self.rules

    def trace(self, name: str) -> Mapped:
        """Apply every rule and remember which ones changed the name.

        Raises:
            NameLengthError: a rule produced a name longer than `LONGEST_NAME`.
        """
        if self.is_identity:
            return Mapped(name)
        mapped = self._mapped.get(name)
        if mapped is None:
            if len(self._mapped) >= _REMEMBERED:
                self._mapped.clear()
            mapped = self._mapped[name] = self._trace(name)
        return mapped

    @cached_property
    def _mapped(self) -> dict[str, Mapped]:
        return {}

    def _trace(self, name: str) -> Mapped:
        hits: list[int] = []
        current = name
        left = self._rules_for(name, 0)
        while left:
            index = left.popleft()
            rule = self.rules[index]
            changed = rule.apply(current)
            if changed is None:
                return Mapped(None, (*hits, index))
            if changed != current:
                if len(changed) > LONGEST_NAME:
                    raise NameLengthError(f"{rule} produces a name of {len(changed):,} characters")
                hits.append(index)
                current = changed
                left = self._rules_for(current, index + 1)
        return Mapped(current, tuple(hits))

    def _rules_for(self, name: str, start: int) -> deque[int]:
        """Indices of the rules from `start` on that may change a name, in order."""
        if len(self.rules) <= _FEW_RULES:
            return deque(range(start, len(self.rules)))
        return deque(index for index in self._by_piece.candidates(name) if index >= start)

    @cached_property
    def _by_piece(self) -> PieceIndex:
        return PieceIndex([rule.pieces for rule in self.rules])

    def map(self, name: str) -> str | None:
        """The runtime name for a checkpoint name; None if a rule drops it."""
        return name if self.is_identity else self.trace(name).name

    def unstable(self, names: Iterable[str]) -> tuple[str, str, str | None] | None:
        """The first name that a second application would change again.

        Returns ``(name, once, twice)``, or None when applying the map twice changes nothing
        more for any of the names.
        """
        for name in names:
            once = self.map(name)
            if once is None or once == name:
                continue
            twice = self.map(once)
            if twice != once:
                return name, once, twice
        return None

    def then(self, other: "NameMapper") -> "NameMapper":
        """This mapper's rules followed by the other's."""
        return NameMapper(self.rules + other.rules)

    def below(self, prefix: str) -> "NameMapper":
        """The same rules for a model that sits under ``prefix`` in a wrapper.

        Only prefix rules are anchored at the start of a name, so only they change.
        """

        def move(rule: Rule) -> Rule:
            if rule.kind != "prefix":
                return rule
            new = None if rule.new is None else f"{prefix}.{rule.new}".rstrip(".")
            return Rule("prefix", f"{prefix}.{rule.old}".rstrip("."), new, rule.whole_segments)

        return NameMapper(tuple(move(rule) for rule in self.rules))
