"""Will it load? The answer of one release, computed here and nowhere else."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

SHARDS_MISSING: Final = "its shard files are missing"


class Answer(StrEnum):
    """Whether a release loads a checkpoint as it is stored."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What a user would see if the answer is no."""

    STOPS = "stops while loading"
    WRONG_WEIGHTS = "loads and computes with the wrong weights"


class Reason(Struct, frozen=True):
    """One thing that keeps a release from loading the checkpoint as it is stored."""

    text: str
    """Continues a sentence that starts with the release, or with `module`."""
    effect: Effect
    module: str = ""
    """Runtime name of the module concerned; empty if none, or several."""
    tensor: str = ""
    """Name of the first tensor or stored module concerned; empty when config.json is at fault."""
    cause: str = ""
    """Why it stops, as a sentence of its own; empty where `text` says what the release does."""
    of_first: bool = False
    """It is about the first tensor or module with a fault, in the order of the checkpoint, and
    would be the same if there were more."""

    @classmethod
    def stop(cls, cause: str, tensor: str = "", *, of_first: bool = False) -> "Reason":
        """The release stops, for a cause that is a sentence of its own."""
        return cls(f"stops: {cause}", Effect.STOPS, tensor=tensor, cause=cause, of_first=of_first)

    def __str__(self) -> str:
        return f"{self.module}: {self.text}" if self.module else self.text


class Loads(Struct, frozen=True):
    """The answer with its reasons."""

    answer: Answer
    reasons: tuple[Reason, ...] = ()
    """Why not, in the order in which the release would meet them; empty unless the answer is no."""
    unknown_because: str = ""
    """Why there is no answer; empty unless the answer is unknown."""
    in_short: str = ""
    """All reasons as one phrase; empty if it loads."""
    after_effect: str = ""
    """The same where the effect is named before it; empty unless the answer is no."""
    options: tuple[str, ...] = ()
    """Options that its server needs for that; empty unless the answer is yes."""

    @property
    def effect(self) -> Effect | None:
        """The worse of the effects: a release that stops computes nothing."""
        effects = {reason.effect for reason in self.reasons}
        return next((effect for effect in Effect if effect in effects), None)

    def __str__(self) -> str:
        if self.options:
            return f"{self.answer}, with {' '.join(self.options)}"
        if self.answer is not Answer.NO:
            return ", ".join(filter(None, (self.answer, self.in_short)))
        return f"no, {self.effect}: {self.after_effect}"

    def with_bad_tensors(self, codes: Sequence[str]) -> "Loads":
        """The answer where rules with these codes found that the tensors themselves are wrong.

        No release loads those.
        """
        if not codes:
            return self
        reason = Reason(
            f"the tensors themselves are wrong: {', '.join(codes)}", self.effect or Effect.STOPS
        )
        return no([reason, *self.reasons], reason.text)


YES = Loads(Answer.YES)


def yes(options: tuple[str, ...]) -> Loads:
    """The answer yes, for a server that is started with these options."""
    return Loads(Answer.YES, options=options) if options else YES


def unknown(because: str) -> Loads:
    """No answer."""
    return Loads(Answer.UNKNOWN, unknown_because=because, in_short=because)


def no(reasons: Iterable[Reason], in_short: str = "") -> Loads:
    """The answer no; in short it is the first reason with the worst effect, and how many more."""
    every = tuple(reasons)
    more = f" (and {len(every) - 1:,} more)" if len(every) > 1 else ""
    effects = {reason.effect for reason in every}
    worst = next(effect for effect in Effect if effect in effects)
    first = next(reason for reason in every if reason.effect is worst)
    return Loads(
        Answer.NO,
        every,
        in_short=in_short or f"{first}{more}",
        after_effect=in_short or f"{first.cause or first}{more}",
    )


def of_all(answers: Iterable[Answer]) -> Answer:
    """One answer for several releases: yes if all are yes, no if one is no."""
    given = set(answers)
    if Answer.NO in given:
        return Answer.NO
    return Answer.YES if given == {Answer.YES} else Answer.UNKNOWN
