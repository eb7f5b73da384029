"""The one exception that reaches a user.

`CkptfixError` means "could not run": exit code 2. A finding or a refused rewrite is not an
exception but a value, and ends in exit code 1.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what prints help and the version imports this file
    from ckptfix.place import Place


class CkptfixError(Exception):
    """The operation could not run; the message is one sentence for the user."""

    def __init__(self, problem: str, *, place: "Place | None" = None, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place
        self.advice = advice
        self.checkpoint = ""
        """The checkpoint that the place is in, as the user named it; empty if not known."""

    def __str__(self) -> str:
        text = f"{self._where}: {self.problem}" if self.place else self.problem
        return f"{text}; {self.advice}" if self.advice else text

    @property
    def _where(self) -> str:
        return f"{self.checkpoint.rstrip('/')}/{self.place}" if self.checkpoint else str(self.place)


def reason_of(error: Exception) -> str:
    """Why a file cannot be used, without a number and the name of the file.

    >>> reason_of(PermissionError(13, "Permission denied", "config.json"))
    'Permission denied'
    """
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def empty(what: str) -> CkptfixError:
    """Refuses an empty name: `Path("")` would be the working directory."""
    return CkptfixError(
        f"{what} is empty", advice="in a script, check that the variable it comes from is set"
    )


class StoppedError(CkptfixError):
    """The user stopped it (SIGINT); the message says what was written until then."""


class UnsupportedError(CkptfixError):
    """What was named exists, but is not a quantized safetensors checkpoint."""


class MissingShardsError(CkptfixError):
    """There is metadata, but a shard file that it belongs to is not there."""

    weight_map: Mapping[str, str] | None = None
    """Tensor -> shard file, where an index names them."""

    without_tensors: object = None
    """The checkpoint with what the index names, or with no tensors, if its metadata was read."""
