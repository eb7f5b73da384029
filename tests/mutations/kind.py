"""What a kind of mutation is."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from tests.mutations.editable import Editable

STOPS = "stops"
"""Stands for a rule code where the files cannot be read at all: one sentence, exit code 2."""

FROM_TENSORS: Final = "rewrite --from-tensors"

Repair = Literal["", "rewrite", "rewrite --from-tensors", "rewrite --tensors"]
Break = Callable[[Editable, Random], str | None]
"""Breaks the checkpoint it is given, and gives what must be named; None where it cannot."""


@dataclass(frozen=True)
class Kind:
    """One way to break a checkpoint."""

    name: str
    codes: frozenset[str]
    """Rules of which at least one must name it."""
    repair: Repair
    always: bool
    """It breaks something even where vLLM 0.33.0 would build the same layers."""
    break_: Break


KINDS: dict[str, Kind] = {}


def kind(codes: str, *, repair: Repair = "", always: bool = True) -> Callable[[Break], Break]:
    """Register the decorated function under its own name."""

    def register(break_: Break) -> Break:
        name = break_.__name__
        KINDS[name] = Kind(name, frozenset(codes.split()), repair, always, break_)
        return break_

    return register


def pick(random: Random, names: "list[str]") -> str | None:
    """One of them, or None where there is none."""
    return random.choice(sorted(names)) if names else None
