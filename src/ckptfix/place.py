"""Where in a checkpoint something is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A location in a checkpoint."""

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
