"""Tensors from files to the device, through safetensors, while threads read ahead."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.text import visible
from ckptfix.verifying.read_ahead import ReadAhead

PREFETCH_BYTES: Final = 1 << 30
_MAPPED: Final = 1 << 28
"""Bytes of files that stay mapped on a CPU after they were used."""

DECODED: Final = frozenset(
    ("F8_E4M3", "F8_E5M2", "F8_E8M0", "U8", "I8", "I32", "F16", "BF16", "F32", "F64")
)
"""Dtypes that decoders take."""


class TensorSpan(Struct, frozen=True):
    """The location of a tensor."""

    module: str
    role: str
    path: Path
    name: str
    """In its file."""
    start: int
    """First byte in the file."""
    nbytes: int
    dtype: str


class Unit(Struct, frozen=True):
    """Tensors that are needed together."""

    key: int
    spans: tuple[TensorSpan, ...]

    @property
    def nbytes(self) -> int:
        """Of all its tensors."""
        return sum(span.nbytes for span in self.spans)

    @property
    def position(self) -> tuple[str, int]:
        """Path and offset at which reading starts; units are read in this order."""
        return min((str(span.path), span.start) for span in self.spans)


Tensors = Mapping[tuple[str, str], Tensor]
"""(module, role) -> tensor, without those of a dtype that no decoder takes."""


class Stream:
    """Units in file order; a context manager, because it owns threads.

    On a CPU, tensors are views of mapped files, so that they take no memory that the kernel cannot
    take back. What is mapped never exceeds the largest unit by more than `_MAPPED`.
    """

    def __init__(
        self, units: Sequence[Unit], device: torch.device, *, prefetch: int = PREFETCH_BYTES
    ) -> None:
        self._units = sorted(units, key=lambda unit: unit.position)
        self._ends = list(accumulate(unit.nbytes for unit in self._units))
        self._device = str(device)
        self._prefetch = prefetch
        self._requested = 0
        """Units that are being read."""
        self._reader = ReadAhead()
        self._files: dict[Path, Any] = {}
        self._mapped = 0

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.clear()
        self._reader.close()

    def __iter__(self) -> Iterator[tuple[Unit, Tensors]]:
        """Each unit and its tensors on the device; drop them before requesting the next ones.

        Raises:
            CkptfixError: a file cannot be read, or the library refuses it.
        """
        for unit, end in zip(self._units, self._ends, strict=True):
            self._read_ahead(end + self._prefetch)
            yield (
                unit,
                {
                    (span.module, span.role): self._tensor(span)
                    for span in unit.spans
                    if span.dtype in DECODED
                },
            )
            self._mapped += unit.nbytes
            if self._mapped > _MAPPED:
                self._files.clear()
                self._mapped = 0

    def _read_ahead(self, until: int) -> None:
        """Start to read the units that end before so many bytes."""
        while self._requested < len(self._units) and self._ends[self._requested] <= until:
            spans = self._units[self._requested].spans
            self._reader.request((span.path, span.start, span.nbytes) for span in spans)
            self._requested += 1

    def _tensor(self, span: TensorSpan) -> Tensor:
        place = Place(span.path.name, tensor=visible(span.name))
        try:
            if span.path not in self._files:
                self._files[span.path] = safe_open(span.path, "pt", device=self._device)
            tensor: Tensor = self._files[span.path].get_tensor(span.name)
        except SafetensorError as error:
            raise CkptfixError(
                f"the safetensors library refuses the file: {visible(str(error))}",
                place=place,
                advice="download it again, or upgrade safetensors",
            ) from error
        except OSError as error:
            raise CkptfixError(str(error.strerror or error), place=place) from error
        # ModelOpt stores E8M0 as U8; decoders take both as bytes.
        return tensor.view(torch.uint8) if span.dtype == "F8_E8M0" else tensor
