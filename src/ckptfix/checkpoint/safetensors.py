"""The header of one safetensors file -> its tensors. Weights are never read.

Format: 8 bytes little-endian header length N, N bytes of JSON, then the data; see
https://huggingface.co/docs/safetensors (checked against safetensors 0.8.0).
"""

from collections.abc import Mapping
from itertools import accumulate, pairwise
from math import prod
from operator import mul
from typing import Final

import msgspec
from msgspec import Struct

from ckptfix.checkpoint.file_kind import (
    MAX_HEADER_BYTES,
    SHORTEST_HEADER,
    START_BYTES,
    header_length,
    other_kind,
)
from ckptfix.checkpoint.header_rows import LARGEST, NO_SHAPE, Row, decode_rows
from ckptfix.checkpoint.source import Source
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.text import visible

LONGEST_NAME: Final = 1_000
"""Characters. Lookups try every part of a name; real names have at most a few hundred."""

DTYPE_BITS: Final[Mapping[str, int]] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits per element of every dtype of safetensors 0.8.0."""


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """How a tensor is stored; equal ones share one object."""

    dtype: str
    """As safetensors spells it: `F8_E4M3`, `BF16`, ..."""
    shape: tuple[int, ...]
    nbytes: int
    """Bytes of data."""


Header = dict[str, Tensor]
"""The tensors of one shard file, in the order of its header."""


class Layouts(dict[tuple[str, tuple[int, ...]], Tensor | None]):
    """(dtype, shape) -> their shared `Tensor`: a million tensors have about a dozen.

    None for pairs that cannot be stored.
    """

    def __missing__(self, layout: tuple[str, tuple[int, ...]]) -> Tensor | None:
        dtype, shape = layout
        sound = not _layout_problem(dtype, shape)
        tensor = Tensor(dtype, shape, _nbytes(dtype, shape)) if sound else None
        return self.setdefault(layout, tensor)


def _nbytes(dtype: str, shape: tuple[int, ...]) -> int:
    return prod(shape) * DTYPE_BITS[dtype] // 8


def _layout_problem(dtype: str, shape: tuple[int, ...]) -> str:
    """Why nothing can be stored like this; empty if it can."""
    if dtype not in DTYPE_BITS:
        return f"unknown dtype {visible(dtype)!r}" if dtype else "has no dtype"
    if shape == NO_SHAPE:
        return "has no shape"
    if any(n < 0 for n in shape):
        return f"negative dimension in shape {list(shape)}"
    bits = DTYPE_BITS[dtype]
    # As the library multiplies: from the left, so that a later 0 does not help.
    if max([*shape, *accumulate((*shape, bits), mul)]) > LARGEST:
        return f"{dtype} {list(shape)} is larger than 2^64 bits"
    if prod(shape) * bits % 8:
        return f"{dtype} {list(shape)} does not fill whole bytes"
    return ""


class RawHeader(Struct, frozen=True):
    """The JSON of a header, not decoded yet."""

    file: str
    data: bytes
    file_size: int
    """Bytes of the whole file."""

    @property
    def data_start(self) -> int:
        """The first byte after the header."""
        return 8 + len(self.data)


def read_header(raw: RawHeader, layouts: Layouts) -> Header:
    """The tensors of one shard file.

    Raises:
        CkptfixError: a header that contradicts itself or the size of the file.
    """
    rows = _decode(raw.data, raw.file)
    data_bytes = raw.file_size - raw.data_start
    header = _in_order(rows, data_bytes, layouts)
    return _checked(rows, raw.file, data_bytes, layouts) if header is None else header


def read_starts(raw: RawHeader) -> dict[str, int]:
    """Offset of the data of each tensor, in bytes from the beginning of the file.

    Raises:
        CkptfixError: as `read_header`, but it checks less.
    """
    rows = _decode(raw.data, raw.file)
    return {name: raw.data_start + row.data_offsets[0] for name, row in rows.items()}


def fetch_header(source: Source, file: str) -> RawHeader:
    """The bytes of one header.

    Raises:
        CkptfixError: not a safetensors file, or truncated.
    """
    size = source.size(file)
    start = source.read_range(file, 0, START_BYTES)
    length = header_length(start)
    if length is None:
        raise _not_safetensors(file, start, size)
    if 8 + length > size:
        raise CkptfixError(
            f"truncated: the header needs {8 + length} bytes, but the file has only {size}",
            place=Place(file),
            advice="download the file again",
        )
    return RawHeader(file, source.read_range(file, 8, length), size)


def _not_safetensors(file: str, start: bytes, size: int) -> CkptfixError:
    place = Place(file)
    other = other_kind(start)
    if other is not None:
        return CkptfixError(
            f"not a safetensors file but {other.what}", place=place, advice=other.advice
        )
    if len(start) < 8:
        problem = f"truncated: {size} bytes, a safetensors file has at least 10"
    else:
        length = int.from_bytes(start[:8], "little")
        problem = f"not a safetensors file: the header would be {length} bytes long"
        if SHORTEST_HEADER <= length <= MAX_HEADER_BYTES:
            problem += f" and begin with byte 0x{start[8]:02x}, not with {{"
    return CkptfixError(problem, place=place, advice="download the file again")


def _decode(data: bytes, file: str) -> Mapping[str, Row]:
    rows = decode_rows(data, file)
    longest = max(map(len, rows), default=0)
    if longest > LONGEST_NAME:
        raise CkptfixError(
            f"a tensor name has {longest:,} characters; the limit is {LONGEST_NAME:,}",
            place=Place(file),
            advice="download the file again",
        )
    return rows


def _in_order(rows: Mapping[str, Row], data_bytes: int, layouts: Layouts) -> Header | None:
    """The header, if its rows cover the data in order, as writers produce it."""
    tensors = []
    at = 0
    for row in rows.values():
        start, end = row.data_offsets
        tensor = layouts[row.dtype, row.shape]
        if tensor is None or start != at or end - start != tensor.nbytes:
            return None
        tensors.append(tensor)
        at = end
    return dict(zip(rows, tensors, strict=True)) if at == data_bytes else None


def _row_problem(row: Row, data_bytes: int) -> str:
    start, end = row.data_offsets
    if problem := _layout_problem(row.dtype, row.shape):
        return problem
    if not 0 <= start <= end:
        return f"data_offsets {[start, end]} are not a range"
    if end > data_bytes:
        return f"data ends at byte {end}, but the file holds {data_bytes} bytes of data"
    expected = _nbytes(row.dtype, row.shape)
    if expected != end - start:
        spanned = f"data_offsets span {end - start} bytes"
        return f"{row.dtype} {list(row.shape)} takes {expected} bytes, {spanned}"
    return ""


def _checked(rows: Mapping[str, Row], file: str, data_bytes: int, layouts: Layouts) -> Header:
    """Compare each row with dtype and shape, and all rows with the file: no hole, no overlap."""
    for name, row in rows.items():
        if problem := _row_problem(row, data_bytes):
            raise CkptfixError(
                problem,
                place=Place(file, tensor=visible(name)),
                advice="the file is truncated or its header is wrong; download it again",
            )
    order = sorted(rows, key=lambda name: rows[name].data_offsets)
    for before, after in pairwise(order):
        gap = rows[after].data_offsets[0] - rows[before].data_offsets[1]
        if gap:
            kind = "overlaps" if gap < 0 else f"leaves a gap of {gap} bytes after"
            raise CkptfixError(
                f"{kind} tensor {visible(before)}", place=Place(file, tensor=visible(after))
            )
    first = rows[order[0]].data_offsets[0] if order else 0
    last = rows[order[-1]].data_offsets[1] if order else 0
    if first or last != data_bytes:
        raise CkptfixError(
            f"the header covers bytes {first} to {last} of {data_bytes} bytes of data",
            place=Place(file),
            advice="the file is truncated or its header is wrong; download it again",
        )
    stored = ((name, layouts[row.dtype, row.shape]) for name, row in rows.items())
    return {name: tensor for name, tensor in stored if tensor is not None}
