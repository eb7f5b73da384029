"""The table of dequantizers: a row for every row of `checkpoint.formats.FORMAT_TABLE`.

Source: nvidia-modelopt 0.47.0, modelopt/torch/export/quant_utils.py `to_quantized_weight` and
modelopt/torch/quantization/config.py (how each preset quantizes activations), checked on real
exports against their unquantized sources.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from torch import Tensor

from ckptfix.verifying.dequantize import activations, fp8, int4, int8, mxfp, nvfp4
from ckptfix.verifying.dequantize.activations import QuantizeActivations
from ckptfix.verifying.dequantize.scales import Scales, per_channel, per_group, per_tensor
from ckptfix.verifying.stored import ROW_BLOCK, StoredWeight

CHUNK_VALUES: Final = 1 << 22
"""Values dequantized at a time: 16 MiB of F32, however large the weight."""


@dataclass(frozen=True)
class Dequantizer:
    """How the weight of one quant_algo is decoded and its input quantized."""

    codes: Callable[[StoredWeight], Tensor]
    """The stored values before scaling, F32 `[out, in]`."""
    scales: Callable[[StoredWeight], Scales]
    largest: float
    """Of the codes."""
    activations: QuantizeActivations
    input_range: float = 0.0
    """What `input_scale` is multiplied with to give the largest input; 0 if there is none."""


_FP4, _INT4, _INT8 = 6.0, 7.0, 127.0
_NVFP4 = Dequantizer(nvfp4.codes, nvfp4.scales, _FP4, activations.nvfp4, _FP4 * fp8.E4M3_MAX)

DEQUANTIZERS: Final[Mapping[str, Dequantizer]] = MappingProxyType(
    {
        "FP8": Dequantizer(
            fp8.codes, per_tensor, fp8.E4M3_MAX, activations.fp8_per_tensor, fp8.E4M3_MAX
        ),
        "FP8_PER_CHANNEL_PER_TOKEN": Dequantizer(
            fp8.codes, per_channel, fp8.E4M3_MAX, activations.fp8_per_token
        ),
        "fp8_pb_wo": Dequantizer(
            fp8.codes, fp8.block_scales, fp8.E4M3_MAX, activations.fp8_per_group
        ),
        "fp8_pb_real": Dequantizer(
            fp8.codes, fp8.block_scales, fp8.E4M3_MAX, activations.fp8_per_group
        ),
        "MXFP8": Dequantizer(fp8.codes, mxfp.exponents, fp8.E4M3_MAX, activations.mxfp8),
        "NVFP4": _NVFP4,
        "NVFP4_AWQ": _NVFP4,
        "NVFP4_SVD": _NVFP4,
        "W4A16_NVFP4": Dequantizer(nvfp4.codes, nvfp4.scales, _FP4, activations.unquantized),
        "W4A8_NVFP4_FP8": Dequantizer(
            nvfp4.codes, nvfp4.scales, _FP4, activations.fp8_per_tensor, fp8.E4M3_MAX
        ),
        "W4A8_MXFP4_FP8": Dequantizer(
            mxfp.fp4_codes,
            mxfp.exponents,
            _FP4,
            activations.fp8_per_tensor_or_dynamic,
            fp8.E4M3_MAX,
        ),
        "mxfp4": Dequantizer(mxfp.fp4_codes, mxfp.exponents, _FP4, activations.unquantized),
        "W4A16_AWQ": Dequantizer(int4.codes, per_group, _INT4, activations.unquantized),
        "W4A8_AWQ": Dequantizer(
            int4.codes, per_group, _INT4, activations.fp8_per_tensor, fp8.E4M3_MAX
        ),
        "W8A16": Dequantizer(int8.codes, per_channel, _INT8, activations.unquantized),
        "W8A8_SQ_PER_CHANNEL": Dequantizer(
            int8.codes, per_channel, _INT8, activations.int8_per_tensor, _INT8
        ),
    }
)


def dequantizer(stored: StoredWeight) -> Dequantizer:
    """The row for a weight."""
    return DEQUANTIZERS[stored.quant_algo]


def dequantize(stored: StoredWeight) -> Tensor:
    """The weight that the tensors mean, F32 `[out, in]`; without pre_quant_scale and low rank."""
    row = dequantizer(stored)
    return row.scales(stored).over(row.codes(stored))


def in_chunks(stored: StoredWeight) -> Iterator[tuple[slice, StoredWeight]]:
    """The weight by whole blocks of rows, so that what is dequantized at a time stays small."""
    out, columns = stored.shape
    step = max(1, CHUNK_VALUES // max(1, columns * ROW_BLOCK)) * ROW_BLOCK
    for start in range(0, out, step):
        stop = min(start + step, out)
        yield slice(start, stop), stored.rows(start, stop)
