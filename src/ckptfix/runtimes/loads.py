"""Will it load? The answer of one release, computed here and nowhere else."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """Whether a release loads a checkpoint as it is stored."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What a user would see where the answer is no."""

    STOPS = "stops while loading"
    WRONG_WEIGHTS = "computes with wrong weights"


@dataclass(frozen=True)
class Reason:
    """One thing that keeps a release from loading the checkpoint as it is stored."""

    text: str
    """Continues a sentence that starts with the release, or with `module`."""
    effect: Effect
    module: str = ""
    """Runtime name of the module concerned; empty when it is none, or more than one."""
    tensor: str = ""
    """Name of the first tensor or stored module concerned; empty when config.json is at fault."""

    def __str__(self) -> str:
        return f"{self.module}: {self.text}" if self.module else self.text


@dataclass(frozen=True)
class Loads:
    """The answer with its reasons."""

    answer: Answer
    reasons: tuple[Reason, ...] = ()
    """Why not, in the order in which the release would meet them; empty unless the answer is no."""
    unknown_because: str = ""
    """Why there is no answer; empty unless the answer is unknown."""

    @property
    def effect(self) -> Effect | None:
        """The worse of the effects: a release that stops computes nothing."""
        effects = {reason.effect for reason in self.reasons}
        return next((effect for effect in Effect if effect in effects), None)
