"""The one exception that reaches a user.

`CkptfixError` means "could not run": exit code 2. A finding or a refused rewrite is not an
exception but a value, and ends in exit code 1.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a checkpoint something stands."""

    file: str
    """Path relative to the checkpoint directory."""
    pointer: str | None = None
    """JSON pointer (RFC 6901) into `file`."""
    tensor: str | None = None
    """Name of the tensor in `file`."""
    line: int | None = None
    """1-based."""
    column: int | None = None
    """1-based, in characters."""

    def __str__(self) -> str:
        text = self.file
        if self.line is not None:
            text += f":{self.line}"
            if self.column is not None:
                text += f":{self.column}"
        if self.pointer:
            text += f" {self.pointer}"
        if self.tensor is not None:
            text += f" tensor {self.tensor}"
        return text


class CkptfixError(Exception):
    """Something kept the command from running; the message is one sentence for the user."""

    def __init__(self, problem: str, *, place: Place | None = None, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.place}: {self.problem}" if self.place else self.problem
        return f"{text}; {self.advice}" if self.advice else text
