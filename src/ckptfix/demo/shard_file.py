"""A shard file, serialized by the safetensors library from plain bytes."""

import ctypes
from collections.abc import Mapping
from typing import Any

import safetensors
from msgspec import Struct


class Stored(Struct, frozen=True):
    """One tensor."""

    dtype: str
    """As the library takes it: `float8_e4m3fn`, not `F8_E4M3`."""
    shape: tuple[int, ...]
    data: bytes


def serialized(tensors: Mapping[str, Stored]) -> bytes:
    """The bytes of a shard file.

    The library took a dict with the bytes until 0.7, and takes their address since 0.8.
    """
    # Copies of the bytes, which must live until the call is over.
    buffers = {
        name: ctypes.create_string_buffer(each.data, len(each.data))
        for name, each in tensors.items()
    }
    given = {name: _given(each, buffers[name]) for name, each in tensors.items()}
    return bytes(safetensors.serialize(given, {"format": "pt"}))


def _given(stored: Stored, buffer: "ctypes.Array[ctypes.c_char]") -> Any:  # noqa: ANN401 - of two kinds
    spec = getattr(safetensors, "TensorSpec", None)
    shape = list(stored.shape)
    if spec is None:
        return {"dtype": stored.dtype, "shape": shape, "data": stored.data}
    address = ctypes.addressof(buffer)
    return spec(dtype=stored.dtype, shape=shape, data_ptr=address, data_len=len(buffer))
