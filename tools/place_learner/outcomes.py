"""Where the tensors of a name end, under the conditions that were tried."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Outcome = tuple[str, str | None, str]
"""Place, name looked up (None: never), kind; numbers masked."""

ALWAYS: Final = ""
"""The condition of what the first config showed."""


@dataclass(frozen=True)
class Places:
    """Where a name ends."""

    first: Outcome | None
    also: tuple[Outcome, ...]
    """At the same time."""
    instead: Mapping[str, Outcome]
    """Condition -> the only place, which is none of the others."""

    @classmethod
    def of(cls, found: Mapping[str, Mapping[Outcome, None]]) -> "Places":
        if not found:
            return cls(None, (), {})
        base = found.get(ALWAYS) or next(iter(found.values()))
        first, *others = base
        also, instead = dict.fromkeys(others), {}
        for condition, outcomes in found.items():
            new = [outcome for outcome in outcomes if outcome not in base]
            if len(new) == len(outcomes) == 1:
                instead[condition] = new[0]
            else:
                also.update(dict.fromkeys(new))
        return cls(first, tuple(also), instead)
