"""Everything known about a stored format: layout, meaning, GEMM, and spelling in metadata.

Parts that run on tensors are looked up by the names here: `verify/dequantize/registry.py` and
`verify/backends/`.
"""

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from ckptfix.checkpoint.safetensors import DTYPE_BITS

ScaleShape = Callable[[tuple[int, ...], tuple[int, ...]], int | None]
"""(logical weight shape ``[..., out, in]``, weight_scale shape) -> group size; 0 when the format
has none; None when the shapes do not fit."""


Shape = tuple[int, ...]
FLOATS: Final = ("BF16", "F16", "F32")
TO_F32: Final = ("F8_E5M2", "F8_E4M3", *FLOATS)
"""What scales of rows may be stored as. Quantizers write the last three, and both runtimes copy any
into F32, which keeps the numbers."""
NUMBERS: Final = ("I8", "U8", "I32", "F64", *TO_F32)
"""The same for the scale of a whole tensor, which both copy in every layer (vllm 0.33.0 and sglang
0.5.23, seen with their loaders on FP8 of ModelOpt, compressed-tensors and Quark, and on NVFP4), and
for FP8 in rows, at which sglang stops in some layers (`runtimes/method_verdict.py`)."""


def is_scalar(weight: tuple[int, ...], scale: tuple[int, ...]) -> bool:
    """True for 0-d, for [1] as ModelOpt 0.23 wrote it, and for one per expert of a stack."""
    return scale in ((), (1,), weight[:-2])


class Codes(Struct, frozen=True):
    """The values of a weight before scaling."""

    name: str
    """For people, and of the decoder: `FP8`."""
    dtype: str
    """Of the stored weight, as safetensors writes it."""
    bits: int
    kind: Literal["float", "int"]
    largest: float
    error: float
    """Relative error that rounding to these codes adds to a weight, with room."""
    factor_error: float
    """The same for the factor between the weight and its source."""
    packed: Literal["in", "out", "blocks", "flat"] | None = None
    """The dimension along which one element holds several values, None: one value per element.
    Blocks: `[..., out, in / 32, 16]`, a byte holds two values of a row. Flat: `[out * in / 2, 1]`,
    the shape is not in the header."""
    transposed: bool = False
    """Stored as `[..., in, out]`."""

    @property
    def packing(self) -> str:
        """How its values are packed, for people; empty where each has an element of its own."""
        if self.packed is None:
            return ""
        number = 32 / self.bits if self.dtype == "I32" else 8 // self.bits
        along = "" if self.packed == "flat" else f" along {'out' if self.packed == 'out' else 'in'}"
        return f"{number:.3g} in {self.dtype}{along}"

    def logical(self, stored: Shape) -> Shape:
        """Shape of a weight before packing, `[..., out, in]`."""
        if self.packed == "blocks":
            return (*stored[:-2], 2 * stored[-2] * stored[-1])
        *stacked, out, columns = stored
        if self.transposed:
            out, columns = columns, out
        if self.packed is None:
            return (*stacked, out, columns)
        bits = DTYPE_BITS[self.dtype]
        if self.packed == "out":
            return (*stacked, out * bits // self.bits, columns)
        return (*stacked, out, columns * bits // self.bits) if self.packed == "in" else (2 * out, 1)


class ScaleLayout(Struct, frozen=True):
    """What `weight_scale` holds."""

    name: str
    """Name of the decoder; with two levels, a factor is weight_scale times weight_scale_2."""
    dtypes: tuple[str, ...]
    shape: ScaleShape
    zeros: float = 0.0
    """Share of zeros that does no harm."""
    shared: Literal["weight_scale", "weight_scale_2", ""] = ""
    """The scale of which a packed module keeps only one; empty if each member keeps its own."""


class ZeroPoints(Struct, frozen=True):
    """Where a format stores the code that represents zero."""

    role: str
    shapes: Callable[[Shape, Shape], tuple[Shape, ...]] = lambda weight, scale: (scale,)  # noqa: ARG005 - one of two
    """(logical weight shape, scale shape) -> the shapes that it can have."""
    always: bool = False
    """Stored for symmetric codes too: then only the metadata shows whether the codes are."""


class InputKind(Struct, frozen=True):
    """How the input of a GEMM is quantized."""

    name: str
    """Of the decoder."""
    codes: str
    """For people: `BF16`, `FP8`."""
    static: bool = False
    """By `input_scale` alone; without one the layer is weight-only."""
    range: float = 0.0
    """`input_scale` times this is the largest input; 0 if there is none."""

    @property
    def is_unquantized(self) -> bool:
        """True for the inputs of weight-only formats."""
        return self.codes == "BF16"


class GpuNeed(Struct, frozen=True):
    """The compute capability that a quantized GEMM needs."""

    oldest: tuple[int, int]
    newest: tuple[int, int] = (99, 0)
    below: str = ""
    """What vLLM does on an older GPU."""
    on_cpu: bool = False


class Gemm(Struct, frozen=True):
    """A GEMM whose two sides are quantized the same way."""

    recipe: Literal["tensor", "channel", "blocks", "mxfp8", "nvfp4", "int8"]
    gpu: GpuNeed
    multiple: int
    """What its sizes are multiples of on a GPU."""


class Format(Struct, frozen=True):
    """How one quant_algo is stored: weight, scales and other companions."""

    quant_algo: str
    """As ModelOpt writes it; comparisons ignore case."""
    codes: Codes
    scales: ScaleLayout
    inputs: InputKind
    gemm: Gemm | None = None
    """None if the two sides differ: then there is no GEMM in torch."""
    needs: tuple[str, ...] = ()
    """Required companions."""
    may_have: tuple[str, ...] = ()
    """Allowed companions; any other optional one rules the format out."""
    smoothing: Literal["awq", "smoothquant", ""] = ""
    """How pre_quant_scale was made; where it is absent it was folded into the layer before."""
    second_level: Literal["full", "room", "step", ""] = ""
    """weight_scale_2 makes the largest block scale 448, or (since ModelOpt 0.39) 448 / 6; or it is
    not a factor of the weight, but the step of the FP8 GEMM."""
    has_config_group: bool = False
    """ModelOpt describes it in config_groups."""
    weight: str = "weight"
    """Role of the tensor with the codes."""
    scale: str = "weight_scale"
    """Role of the tensor with the scales."""
    zeros: ZeroPoints | None = None
    """None where the codes are always symmetric."""
    order: str = ""
    """Role of the tensor with the order in which input columns were quantized."""
    scalars: tuple[str, ...] = ("F32",)
    """dtypes of companions that are one value."""
    quantizer: str = ""
    """Who stores it, for people; empty for ModelOpt and for formats that models are published
    in."""
    is_native: bool = False
    """Models are published in it, so a quantizer's metadata need not mention it."""

    @property
    def sides(self) -> str:
        """Both operands of its GEMM, for people."""
        return f"{self.codes.name} weights with {self.inputs.codes} input"

    @property
    def writes_group_size(self) -> bool:
        """ModelOpt writes no group_size for blocks of 128 x 128."""
        return self.scales.name != "blocks"

    def fits_shape(self, weight: tuple[int, ...], scale: tuple[int, ...]) -> int | None:
        """Group size, or 0 without groups, by the stored shapes; None when they do not fit."""
        return self.scales.shape(self.codes.logical(weight), scale)
