"""Tensors from disk to the device: reading runs ahead of computing, within a budget.

Threads read pieces of files into one buffer per unit of work; the buffer is pinned if it is copied
to a GPU. Bytes held on the host never exceed the largest unit plus the budget.
"""

import ctypes
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import torch
from torch import Tensor

from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.text import visible

PREFETCH_BYTES: Final = 1 << 30
THREADS: Final = 4
_PIECE: Final = 16 << 20
"""Bytes read at a time by one thread."""
_ALIGNED: Final = 16
"""Bytes; the alignment that GEMMs require."""

TORCH_DTYPES: Final[Mapping[str, torch.dtype]] = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I32": torch.int32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E8M0": torch.uint8,
}
"""E8M0 stays bytes: ModelOpt stores it as U8."""


@dataclass(frozen=True)
class TensorSpan:
    """The location of a tensor."""

    module: str
    role: str
    path: Path
    start: int
    """First byte in the file."""
    nbytes: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def place(self) -> Place:
        """For messages."""
        return Place(self.path.name, tensor=visible(f"{self.module}.{self.role}"))


@dataclass(frozen=True)
class Unit:
    """Tensors that are needed together."""

    key: int
    spans: tuple[TensorSpan, ...]

    @property
    def nbytes(self) -> int:
        """Bytes on the host, including alignment."""
        return sum(_up(span.nbytes) for span in self.spans)

    @property
    def position(self) -> tuple[str, int]:
        """Path and offset at which reading starts; units are read in this order."""
        return min((str(span.path), span.start) for span in self.spans)


Tensors = Mapping[tuple[str, str], Tensor]
"""(module, role) -> tensor."""


def _up(nbytes: int) -> int:
    return -(-nbytes // _ALIGNED) * _ALIGNED


@dataclass
class _Loading:
    unit: Unit
    buffer: Tensor
    pieces: list[Future[None]]
    copied: torch.cuda.Event | None = None
    """Recorded after the copy to the GPU."""


class Stream:
    """Units in file order; a context manager, because it owns threads."""

    def __init__(
        self,
        units: Sequence[Unit],
        device: torch.device,
        *,
        prefetch: int = PREFETCH_BYTES,
        threads: int = THREADS,
    ) -> None:
        self._waiting = deque(sorted(units, key=lambda unit: unit.position))
        self._device = device
        self._prefetch = prefetch
        self._limit = max((unit.nbytes for unit in units), default=0) + prefetch
        self.on_host = 0
        """Bytes on the host, read or being read."""
        self._loading: deque[_Loading] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ckptfix-read")
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[Unit, Tensors]]:
        """Each unit and its tensors on the device; requesting the next one frees them."""
        ahead: tuple[_Loading, Tensor] | None = None
        while True:
            self._top_up()
            loading, data = ahead or self._next() or (None, None)
            if loading is None or data is None:
                return
            ahead = self._copied_ahead(loading.unit.nbytes)
            if loading.copied is not None:
                torch.cuda.current_stream(self._device).wait_event(loading.copied)
            yield loading.unit, views(loading.unit, data)
            self.on_host -= loading.unit.nbytes
            del loading, data

    def _top_up(self) -> None:
        while self._waiting and self.on_host + self._waiting[0].nbytes <= self._limit:
            unit = self._waiting.popleft()
            self.on_host += unit.nbytes
            pinned = self._copies is not None
            buffer = torch.empty(unit.nbytes, dtype=torch.uint8, pin_memory=pinned)
            pieces = [self._pool.submit(_read, *piece) for piece in _pieces(unit, buffer)]
            self._loading.append(_Loading(unit, buffer, pieces))

    def _next(self) -> tuple[_Loading, Tensor] | None:
        """The next unit, read and on its way to the device."""
        if not self._loading:
            return None
        loading = self._loading.popleft()
        for piece in loading.pieces:
            piece.result()
        if self._copies is None:
            return loading, loading.buffer
        data = torch.empty(loading.unit.nbytes, dtype=torch.uint8, device=self._device)
        self._copies.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._copies):
            data.copy_(loading.buffer, non_blocking=True)
            loading.copied = torch.cuda.Event()
            loading.copied.record(self._copies)
        data.record_stream(self._copies)
        return loading, data

    def _copied_ahead(self, current: int) -> tuple[_Loading, Tensor] | None:
        """The unit after the current one, if it is read and both have room on the GPU."""
        if self._copies is None or not self._loading:
            return None
        first = self._loading[0]
        room = current + first.unit.nbytes <= self._limit
        return self._next() if room and all(p.done() for p in first.pieces) else None


def views(unit: Unit, data: Tensor) -> Tensors:
    """The tensors of a unit in its buffer, without those of a dtype that no decoder takes."""
    made = {}
    for span, start in _layout(unit):
        dtype = TORCH_DTYPES.get(span.dtype)
        if dtype is not None:
            flat = data[start : start + span.nbytes].view(dtype)
            made[span.module, span.role] = flat.reshape(span.shape)
    return made


def _layout(unit: Unit) -> Iterator[tuple[TensorSpan, int]]:
    """Where each tensor starts in the buffer: equal roles side by side, for packed modules."""
    start = 0
    roles = dict.fromkeys(span.role for span in unit.spans)
    for role in roles:
        for span in unit.spans:
            if span.role == role:
                yield span, start
                start += _up(span.nbytes)


_Piece = tuple[TensorSpan, int, list[memoryview]]
"""A tensor for messages, an offset in its file, and the buffer for the bytes from there."""


def _pieces(unit: Unit, buffer: Tensor) -> Iterator[_Piece]:
    """The reads of a unit: neighbours in a file are merged, large tensors are split."""
    memory = memoryview((ctypes.c_ubyte * unit.nbytes).from_address(buffer.data_ptr())).cast("B")
    places = sorted(_layout(unit), key=lambda place: (str(place[0].path), place[0].start))
    piece: _Piece | None = None
    end, room, path = -1, 0, None
    for span, start in places:
        for offset in range(0, max(span.nbytes, 1), _PIECE):
            length = min(_PIECE, span.nbytes - offset)
            if not length:
                continue
            view = memory[start + offset : start + offset + length]
            at = span.start + offset
            if piece is not None and path == span.path and at == end and length <= room:
                piece[2].append(view)
            else:
                if piece is not None:
                    yield piece
                piece, room, path = (span, at, [view]), _PIECE, span.path
            end, room = at + length, room - length
    if piece is not None:
        yield piece


_MOST_VIEWS: Final = 512
"""preadv takes IOV_MAX, 1,024 on Linux."""


def _read(span: TensorSpan, offset: int, into: list[memoryview]) -> None:
    try:
        handle = os.open(span.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while into:
                got = os.preadv(handle, into[:_MOST_VIEWS], offset)
                if not got:
                    raise CkptfixError(
                        f"the file ends at byte {offset:,}, inside a tensor",
                        place=span.place,
                        advice="download it again",
                    )
                offset += got
                while got:
                    taken = min(got, len(into[0]))
                    got -= taken
                    into[0] = into[0][taken:]
                    if not into[0]:
                        into.pop(0)
        finally:
            os.close(handle)
    except OSError as error:
        raise CkptfixError(str(error.strerror), place=span.place) from error
