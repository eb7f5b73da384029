"""The decoders: a function for each part of a format that `checkpoint/formats/table.py` names.

Source: nvidia-modelopt 0.47.0, modelopt/torch/export/quant_utils.py `to_quantized_weight`, checked
on real exports against their unquantized sources.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from torch import Tensor

from ckptfix.checkpoint.formats.format import Format
from ckptfix.errors import CkptfixError
from ckptfix.verifying.dequantize import activations, fp4, fp8, int4, int8, mxfp, nvfp4
from ckptfix.verifying.dequantize.activations import QuantizeActivations
from ckptfix.verifying.dequantize.scales import Scales, per_channel, per_group, per_tensor
from ckptfix.verifying.dequantize.unpacked import can_unpack
from ckptfix.verifying.stored import ROW_BLOCK, StoredWeight

CHUNK_VALUES: Final = 1 << 22
"""Values dequantized at a time: 16 MiB of F32."""

CODES: Final[Mapping[str, Callable[[StoredWeight], Tensor]]] = {
    "FP8": fp8.codes,
    "FP4": fp4.codes,
    "INT8": int8.codes,
    "INT4": int4.codes,
    "unpacked INT4": int8.codes,
    "unpacked INT8": int8.codes,
}
"""Name of `Codes` -> the stored values before scaling, F32 `[out, in]`."""
SCALES: Final[Mapping[str, Callable[[StoredWeight], Scales]]] = {
    "tensor": per_tensor,
    "channel": per_channel,
    "blocks": fp8.block_scales,
    "groups": per_group,
    "exponents": mxfp.exponents,
    "two levels": nvfp4.scales,
}
"""Name of `ScaleLayout` -> a factor for each block."""
INPUTS: Final[Mapping[str, QuantizeActivations]] = {
    "unquantized": activations.unquantized,
    "FP8 tensor": activations.fp8_per_tensor,
    "FP8 tensor or dynamic": activations.fp8_per_tensor_or_dynamic,
    "FP8 token": activations.fp8_per_token,
    "FP8 group": activations.fp8_per_group,
    "MXFP8": activations.mxfp8,
    "NVFP4": activations.nvfp4,
    "INT8 tensor": activations.int8_per_tensor,
}
"""Name of `InputKind` -> how the input is quantized."""


class Dequantizer(Struct, frozen=True):
    """How the weight of one format is decoded and its input quantized."""

    codes: Callable[[StoredWeight], Tensor]
    scales: Callable[[StoredWeight], Scales]
    activations: QuantizeActivations


def missing_decoder(row: Format) -> str:
    """Why a format cannot be decoded, as a sentence; empty when it can."""
    if can_unpack(row):
        return ""
    missing = [
        part
        for part, known in (
            (f"{row.codes.name} weights", row.codes.name in CODES),
            (f"scales by {row.scales.name}", row.scales.name in SCALES),
            (f"{row.inputs.name} input", row.inputs.name in INPUTS),
            # The decoders and the GEMMs look for these roles by name.
            (f"codes in {row.weight}", row.weight == "weight"),
            (f"scales in {row.scale}", row.scale == "weight_scale"),
        )
        if not known
    ]
    sentence = f"ckptfix has no decoder for {row.quant_algo} ({', '.join(missing)})"
    return sentence if missing else ""


def dequantizer(row: Format) -> Dequantizer:
    """The decoder of a format.

    Raises:
        CkptfixError: it has none.
    """
    if missing := missing_decoder(row):
        raise CkptfixError(missing)
    return Dequantizer(CODES[row.codes.name], SCALES[row.scales.name], INPUTS[row.inputs.name])


def dequantize(stored: StoredWeight) -> Tensor:
    """The dequantized weight, F32 `[out, in]`; without pre_quant_scale and low rank."""
    decoder = dequantizer(stored.format)
    return decoder.scales(stored).over(decoder.codes(stored))


def in_chunks(stored: StoredWeight, values: int = 0) -> Iterator[tuple[slice, StoredWeight]]:
    """The weight in blocks of rows, to limit how much is dequantized at a time.

    Args:
        stored: the weight.
        values: about so many at a time; 0 for `CHUNK_VALUES`.
    """
    out, columns = stored.shape
    step = max(1, (values or CHUNK_VALUES) // max(1, columns * ROW_BLOCK)) * ROW_BLOCK
    for start in range(0, out, step):
        stop = min(start + step, out)
        yield slice(start, stop), stored.rows(start, stop)
