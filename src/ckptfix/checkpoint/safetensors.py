"""Safetensors headers and the shard index -> a table of tensors. Weights are never read.

Format: 8 bytes little-endian header length N, N bytes of JSON, then the data; see
https://huggingface.co/docs/safetensors (checked against safetensors 0.8.0).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Final

import msgspec

from ckptfix.checkpoint.shard_index import INDEX_FILE, read_index
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError, Place
from ckptfix.names import visible

SINGLE_FILE: Final = "model.safetensors"
MAX_HEADER_BYTES: Final = 100_000_000
"""safetensors 0.8.0, `MAX_HEADER_SIZE`."""

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
    """One row of a header."""

    dtype: str
    """As safetensors spells it: `F8_E4M3`, `BF16`, ..."""
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]
    """Half-open byte range, counted from the end of the header."""

    @property
    def nbytes(self) -> int:
        """Bytes of data."""
        return self.data_offsets[1] - self.data_offsets[0]


class _Row(msgspec.Struct, gc=False):
    dtype: str = ""
    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (-1, -1)


_header_decoder = msgspec.json.Decoder(dict[str, _Row])

_NOT_SAFETENSORS: Final = (
    (b"PK\x03\x04", "a pickle (PyTorch zip archive)"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


@dataclass(frozen=True)
class TensorTable:
    """All tensors of a checkpoint."""

    shard_files: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    file_of: Mapping[str, str]
    """Tensor name -> shard file whose header lists it."""
    index_file: str | None
    missing: tuple[tuple[str, str], ...]
    """(tensor, shard file) that the index names and the header of that file does not list."""
    unindexed: tuple[tuple[str, str], ...]
    """(tensor, shard file) that a header lists and the index does not, or places elsewhere."""
    unlisted_files: tuple[str, ...] = ()
    """Safetensors files beside the index that it does not name."""
    total_size: int | None = None
    """`metadata.total_size` of the index, in bytes."""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def read_header(source: DirectorySource, file: str) -> dict[str, Tensor]:
    """The tensors of one shard file.

    Raises:
        CkptfixError: not a safetensors file, truncated, or a header that contradicts itself or
            the size of the file.
    """
    place = Place(file)
    size = source.size(file)
    start = source.read_range(file, 0, 24)
    for magic, what in _NOT_SAFETENSORS:
        if start.startswith(magic):
            raise CkptfixError(
                f"not safetensors but {what}",
                place=place,
                advice="ckptfix reads safetensors only and never unpickles",
            )
    if len(start) < 8:
        raise CkptfixError(
            f"truncated: {size} bytes, a safetensors file has at least 8",
            place=place,
            advice="download the file again",
        )
    length = int.from_bytes(start[:8], "little")
    if length > MAX_HEADER_BYTES or start[8:9] not in (b"{", b""):
        raise CkptfixError(
            f"not a safetensors file: the header would be {length} bytes long",
            place=place,
            advice="download the file again",
        )
    if 8 + length > size:
        raise CkptfixError(
            f"truncated: the header needs {8 + length} bytes, the file has {size}",
            place=place,
            advice="download the file again",
        )
    rows = _decode(source.read_range(file, 8, length), file)
    return _checked(rows, file, size - 8 - length)


def _decode(data: bytes, file: str) -> dict[str, _Row]:
    try:
        rows = _header_decoder.decode(data)
    except msgspec.ValidationError as error:
        raise CkptfixError(f"invalid safetensors header: {error}", place=Place(file)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CkptfixError(
            f"the safetensors header is not valid JSON: {error}",
            place=Place(file),
            advice="download the file again",
        ) from error
    rows.pop("__metadata__", None)
    return rows


def _row_problem(row: _Row, data_bytes: int) -> str:
    bits = DTYPE_BITS.get(row.dtype)
    start, end = row.data_offsets
    if bits is None:
        return f"unknown dtype {visible(row.dtype)!r}" if row.dtype else "has no dtype"
    if any(n < 0 for n in row.shape):
        return f"negative dimension in shape {list(row.shape)}"
    if not 0 <= start <= end:
        return f"data_offsets {[start, end]} are not a range"
    if end > data_bytes:
        return f"data ends at byte {end}, the file holds {data_bytes} bytes of data"
    wanted = (prod(row.shape) * bits + 7) // 8
    if wanted != end - start:
        held = f"data_offsets span {end - start} bytes"
        return f"{row.dtype} {list(row.shape)} takes {wanted} bytes, {held}"
    return ""


def _checked(rows: dict[str, _Row], file: str, data_bytes: int) -> dict[str, Tensor]:
    """Hold each row against dtype and shape, and all rows against the file: no hole, no overlap."""
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
            kind = "overlaps" if gap < 0 else f"leaves a hole of {gap} bytes after"
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
    return {name: Tensor(row.dtype, row.shape, row.data_offsets) for name, row in rows.items()}


def read_tensors(source: DirectorySource) -> TensorTable:
    """The table of all tensors, by the index if there is one.

    Without an index: `model.safetensors`, else every `*.safetensors` file, as vLLM 0.33.0 does
    (vllm/model_executor/model_loader/default_loader.py).
    """
    index = read_index(source) if source.has(INDEX_FILE) else None
    if index is not None:
        files = sorted(set(index.weight_map.values()))
    elif source.has(SINGLE_FILE):
        files = [SINGLE_FILE]
    else:
        files = [name for name in source.names() if name.endswith(".safetensors")]
        if not files:
            raise _no_safetensors(source)
    with ThreadPoolExecutor(max_workers=8) as pool:
        headers = dict(zip(files, pool.map(lambda f: read_header(source, f), files), strict=True))
    if index is None:
        return _joined(files, headers, None)
    stored = (name for name in source.names() if name.endswith(".safetensors"))
    return replace(
        _joined(files, headers, index.weight_map),
        unlisted_files=tuple(sorted(set(stored) - set(files))),
        total_size=index.total_size,
    )


def _joined(
    files: list[str], headers: dict[str, dict[str, Tensor]], weight_map: Mapping[str, str] | None
) -> TensorTable:
    tensors: dict[str, Tensor] = {}
    file_of: dict[str, str] = {}
    for file in files:
        for name, tensor in headers[file].items():
            # The index decides between two copies; that there are two is a finding.
            if name in tensors and (weight_map is None or weight_map.get(name) != file):
                if weight_map is None:
                    raise CkptfixError(
                        f"also stored in {file_of[name]}",
                        place=Place(file, tensor=visible(name)),
                        advice=f"remove one of the files, or add {INDEX_FILE}",
                    )
                continue
            tensors[name] = tensor
            file_of[name] = file
    missing: list[tuple[str, str]] = []
    unindexed: list[tuple[str, str]] = []
    if weight_map is not None:
        missing = [(n, f) for n, f in weight_map.items() if n not in headers[f]]
        unindexed = [(n, f) for f in files for n in headers[f] if weight_map.get(n) != f]
    return TensorTable(
        tuple(files),
        tensors,
        file_of,
        INDEX_FILE if weight_map is not None else None,
        tuple(missing),
        tuple(unindexed),
    )


def _no_safetensors(source: DirectorySource) -> CkptfixError:
    names = source.names()
    for endings, what in (
        ((".bin", ".pt", ".pth"), "pickled weights only"),
        ((".gguf",), "GGUF weights only"),
    ):
        if any(name.endswith(endings) for name in names):
            return CkptfixError(
                f"{source.root}: {what}, no .safetensors file",
                advice="ckptfix reads safetensors only and never unpickles",
            )
    return CkptfixError(
        f"{source.root}: no .safetensors file",
        advice="ckptfix compares the metadata with the tensors, download the shard files too",
    )
