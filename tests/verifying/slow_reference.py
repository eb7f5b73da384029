"""A second decoder, from the text of the format specifications, in numpy: slow and plain.

It shares no code with `ckptfix.verify`: it parses safetensors itself and computes every code from
its bits, one formula a format, so that a table or shape mistake on one side shows.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def read(path: Path) -> dict[str, tuple[str, Array]]:
    """Tensor -> dtype as safetensors spells it, and the raw elements."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    raw = {"F32": np.float32, "BF16": np.uint16, "F16": np.float16, "I8": np.int8, "I64": np.int64}
    tensors = {}
    for name, row in header.items():
        start, end = row["data_offsets"]
        body = data[8 + length + start : 8 + length + end]
        elements = np.frombuffer(body, raw.get(row["dtype"], np.uint8)).reshape(row["shape"])
        tensors[name] = (row["dtype"], elements)
    return tensors


def e4m3(byte: int) -> float:
    sign = -1.0 if byte & 0x80 else 1.0
    exponent, mantissa = (byte >> 3) & 0xF, byte & 0x7
    if exponent == 15 and mantissa == 7:
        return float("nan")
    if exponent == 0:
        return sign * mantissa / 8 * 2.0**-6
    return sign * (1 + mantissa / 8) * 2.0 ** (exponent - 7)


def e2m1(nibble: int) -> float:
    sign = -1.0 if nibble & 0x8 else 1.0
    exponent, mantissa = (nibble >> 1) & 0x3, nibble & 0x1
    return sign * (mantissa / 2 if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1))


def int4(nibble: int) -> float:
    return float(nibble - 16 if nibble >= 8 else nibble)


def number(dtype: str, element: Any) -> float:
    if dtype == "F8_E4M3":
        return e4m3(int(element))
    if dtype == "BF16":
        return float(np.array(int(element) << 16, np.uint32).view(np.float32))
    return float(element)


def weight(tensors: dict[str, tuple[str, Array]], module: str) -> Array:
    """The weight that the tensors of a module mean, in float64."""
    dtype, stored = tensors[f"{module}.weight"]
    scale_dtype, scale = tensors[f"{module}.weight_scale"]
    second = tensors.get(f"{module}.weight_scale_2")
    if dtype == "U8" and scale_dtype == "F32":  # INT4: two output rows a byte
        out, columns = stored.shape[0] * 2, stored.shape[1]
        second = None  # the step of the FP8 GEMM, not of the weight
    elif dtype == "U8":
        out, columns = stored.shape[0], stored.shape[1] * 2
    else:
        out, columns = stored.shape
    values = np.empty((out, columns))
    for row in range(out):
        for column in range(columns):
            if dtype == "U8" and scale_dtype == "F32":
                byte = int(stored[row // 2, column])
                code = int4(byte >> 4 if row % 2 else byte & 0xF)
            elif dtype == "U8":
                byte = int(stored[row, column // 2])
                code = e2m1(byte >> 4 if column % 2 else byte & 0xF)
            else:
                code = number(dtype, stored[row, column])
            values[row, column] = code * factor(scale_dtype, scale, row, column, (out, columns))
    return values if second is None else values * float(second[1].reshape(-1)[0])


def factor(dtype: str, scale: Array, row: int, column: int, shape: tuple[int, int]) -> float:
    if scale.size == 1:
        element = scale.reshape(-1)[0]
    elif scale.ndim == 1:
        element = scale[row]
    elif scale.ndim == 4:
        element = scale[row // 128, 0, column // 128, 0]
    elif scale.shape[0] != shape[0]:
        element = scale[row // 128, column // 128]
    else:
        element = scale[row, column * scale.shape[1] // shape[1]]
    return 2.0 ** (int(element) - 127) if dtype == "U8" else number(dtype, element)
