"""CKF3xx: limits of kernels that are known from shapes."""

from collections.abc import Iterable
from typing import Final

from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.reading import place_of

FAMILY: Final = Family("CKF3", "formats and scales")

_MARLIN_TILE: Final = 64
"""Marlin requires a multiple of this many output features (vLLM 0.33.0,
vllm/model_executor/layers/quantization/utils/marlin_utils.py, `GPTQ_MARLIN_MIN_THREAD_N`)."""
_SMALLEST_REAL: Final = 512
"""Layers with fewer output features only occur in test models, or are packed with others."""


@FAMILY.rule(
    "CKF310",
    "NVFP4 layer size is not supported on GPUs without FP4 tensor cores",
    Severity.WARNING,
    why=(
        "Below compute capability 10.0, vLLM runs NVFP4 with Marlin, which processes output "
        "features in tiles of 64: 'size_n = 4304 is not divisible by tile_n_size = 64' on a "
        "quantized vision tower (NVIDIA/Model-Optimizer issue 1687). The same holds for each "
        "part of a layer split by tensor parallelism."
    ),
    fix="Leave the layer unquantized, or serve on a GPU with FP4 tensor cores.",
    since="0.1.0",
    example="""
    model.safetensors
    - visual.blocks.0.mlp.fc1 stored as NVFP4, [4304, 1152]
    + visual.blocks.0.mlp.fc1 stored as BF16, [4304, 1152]
    """,
)
def not_in_tiles(context: Context) -> Iterable[Finding]:
    """FP4 layers whose output features are not a multiple of 64."""
    for name, stored in context.checkpoint.formats.items():
        if not any(fit.format.scales.name == "two levels" for fit in stored.fits):
            continue
        out = stored.logical_shape[-2]
        if out >= _SMALLEST_REAL and out % _MARLIN_TILE:
            yield context.finding(
                subject=name,
                message=f"has {out:,} output features, which is not a multiple of "
                f"{_MARLIN_TILE}: GPUs without FP4 tensor cores cannot run it",
                place=place_of(context.checkpoint, name),
                advice="leave it unquantized, or serve on a GPU with FP4 tensor cores",
                modules=(name,),
            )
