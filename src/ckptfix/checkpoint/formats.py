"""The stored format of a module, from dtypes, shapes and companion tensors alone.

One row per algorithm that ModelOpt exports (nvidia-modelopt 0.23.0 to 0.47.0,
modelopt/torch/export/quant_utils.py and unified_export_hf.py; checked on real exports, see
`docs/formats.md`). Adding a stored format is adding a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Final, Literal

from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import OPTIONAL_COMPANIONS
from ckptfix.checkpoint.safetensors import Tensor

FLOAT_DTYPES: Final = frozenset({"BF16", "F16", "F32", "F64"})


ScaleShape = Callable[[tuple[int, ...], tuple[int, ...]], int | None]
"""(logical weight shape ``[..., out, in]``, weight_scale shape) -> group size; 0 when the format
has none; None when the shapes do not fit."""


def _scalar(weight: tuple[int, ...], scale: tuple[int, ...]) -> int | None:
    # 0-d, or [1] as ModelOpt 0.23 wrote it, or one per expert of a stacked weight.
    return 0 if scale in ((), (1,), weight[:-2]) else None


def _per_channel(weight: tuple[int, ...], scale: tuple[int, ...]) -> int | None:
    return 0 if scale == weight[:-1] else None


def _blocks(*, four_dimensional: bool) -> ScaleShape:
    def fits(weight: tuple[int, ...], scale: tuple[int, ...]) -> int | None:
        rows, columns = -(-weight[-2] // 128), -(-weight[-1] // 128)
        if four_dimensional:
            if scale == () and rows == columns == 1:
                return 128
            return 128 if scale == (*weight[:-2], rows, 1, columns, 1) else None
        return 128 if scale == (*weight[:-2], rows, columns) else None

    return fits


def _groups(size: int | None = None) -> ScaleShape:
    """Groups of `size` input columns; None accepts any size that divides the input."""

    def fits(weight: tuple[int, ...], scale: tuple[int, ...]) -> int | None:
        if len(scale) != len(weight) or scale[:-1] != weight[:-1] or not scale[-1]:
            return None
        group, rest = divmod(weight[-1], scale[-1])
        return group if rest == 0 and group > 1 and size in (None, group) else None

    return fits


@dataclass(frozen=True)
class FormatRow:
    """How one quant_algo is stored: `weight`, `weight_scale` and other companions."""

    quant_algo: str
    """As ModelOpt writes it; comparisons ignore case."""
    weight_dtype: str
    scale_dtype: str
    scale_shape: ScaleShape
    packed: Literal["in", "out"] | None = None
    """The dimension along which a byte holds two values; None: one value per element."""
    needs: tuple[str, ...] = ()
    """Companions that must be there."""
    may_have: tuple[str, ...] = ()
    """Companions that can be there; any other of `OPTIONAL_COMPANIONS` speaks against the row."""


FP8, FP4, INT4, INT8 = "F8_E4M3", "U8", "U8", "I8"
FLOAT, FP8_SCALE, E8M0 = "F32", "F8_E4M3", "U8"
_STATIC: Final = ("weight_scale_2", "input_scale")
_LORA: Final = ("svdquant_lora_a", "svdquant_lora_b")
_PQS: Final = ("pre_quant_scale",)
_INPUT: Final = ("input_scale",)

FORMAT_TABLE: Final = (
    FormatRow("FP8", FP8, FLOAT, _scalar, may_have=_INPUT),
    FormatRow("FP8_PER_CHANNEL_PER_TOKEN", FP8, FLOAT, _per_channel),
    FormatRow("fp8_pb_wo", FP8, FLOAT, _blocks(four_dimensional=True)),
    FormatRow("fp8_pb_real", FP8, FLOAT, _blocks(four_dimensional=False)),
    FormatRow("MXFP8", FP8, E8M0, _groups(32), may_have=_INPUT),
    FormatRow("NVFP4", FP4, FP8_SCALE, _groups(16), "in", _STATIC),
    FormatRow("NVFP4_AWQ", FP4, FP8_SCALE, _groups(16), "in", _STATIC, _PQS),
    FormatRow("NVFP4_SVD", FP4, FP8_SCALE, _groups(16), "in", _STATIC + _LORA, _PQS),
    FormatRow("W4A16_NVFP4", FP4, FP8_SCALE, _groups(16), "in", ("weight_scale_2",)),
    FormatRow("W4A8_NVFP4_FP8", FP4, FP8_SCALE, _groups(32), "in", _STATIC),
    FormatRow("W4A8_MXFP4_FP8", FP4, E8M0, _groups(32), "in", may_have=_INPUT),
    FormatRow("mxfp4", FP4, E8M0, _groups(32), "in"),
    FormatRow("W4A16_AWQ", INT4, FLOAT, _groups(), "out", may_have=_PQS),
    FormatRow("W4A8_AWQ", INT4, FLOAT, _groups(), "out", _STATIC, _PQS),
    FormatRow("W8A16", INT8, FLOAT, _per_channel),
    FormatRow("W8A8_SQ_PER_CHANNEL", INT8, FLOAT, _per_channel, None, _INPUT + _PQS),
)

BLOCK_ALGOS: Final = frozenset({"fp8_pb_wo", "fp8_pb_real"})
"""Scaled by blocks of 128 x 128; ModelOpt writes no group_size for them."""


@dataclass(frozen=True)
class Fit:
    """A quant_algo whose tensors look exactly like the module's."""

    quant_algo: str
    group_size: int
    """Input columns per scale; 0 when the format has no groups."""


@dataclass(frozen=True)
class StoredFormat:
    """What a module's tensors prove."""

    fits: tuple[Fit, ...] = ()
    """More than one where formats store alike (`mxfp4` and `W4A8_MXFP4_FP8`); empty when
    unquantized or unknown."""
    weight_only: bool = False
    """FP8 stored without `input_scale`."""
    logical_shape: tuple[int, ...] = ()
    """Shape of the weight before packing, `[..., out, in]`; `()` without a weight."""
    problem: str = ""
    """Why the tensors fit no format: what is there and what would be needed."""

    @property
    def is_quantized(self) -> bool:
        """True also for tensors that are quantized in no known format."""
        return bool(self.fits or self.problem)

    @property
    def parameters(self) -> int:
        """Number of weight values before packing."""
        return prod(self.logical_shape) if self.logical_shape else 0

    def fit(self, quant_algo: str | None) -> Fit | None:
        """The fit for a declared quant_algo (letter case aside), None if the tensors refute it."""
        wanted = (quant_algo or "").lower()
        return next((fit for fit in self.fits if fit.quant_algo.lower() == wanted), None)

    def label(self, declared: str | None = None) -> str:
        """A name for people: the declared algo where the tensors allow it, else the first fit."""
        if self.problem:
            return "unrecognized"
        if not self.fits:
            return "unquantized"
        return (self.fit(declared) or self.fits[0]).quant_algo


UNQUANTIZED: Final = StoredFormat()


def stored_format(module: Module) -> StoredFormat:
    """The stored format of a module.

    A module without a weight, or with an integer weight and no scale (a counter, a table), is
    unquantized: there is nothing that a runtime would dequantize.
    """
    weight = module.weight
    scaled = "weight_scale" in module.tensors or "weight_scale_2" in module.tensors
    if weight is None:
        if scaled:
            return StoredFormat(problem="weight_scale without a weight")
        return UNQUANTIZED
    if not scaled and (weight.dtype in FLOAT_DTYPES or weight.dtype not in ("F8_E4M3", "U8", "I8")):
        return StoredFormat(logical_shape=weight.shape)
    if len(weight.shape) < 2:
        if not scaled:
            return StoredFormat(logical_shape=weight.shape)
        return StoredFormat(problem=f"weight_scale on a {len(weight.shape)}-D weight")
    return _match(module, weight)


def _match(module: Module, weight: Tensor) -> StoredFormat:
    fitting = [(row, size) for row in FORMAT_TABLE if (size := _fits(row, module)) is not None]
    if not fitting:
        return StoredFormat(logical_shape=weight.shape, problem=_near_miss(module, weight))
    first = fitting[0][0]
    return StoredFormat(
        tuple(Fit(row.quant_algo, size) for row, size in fitting),
        weight_only=first.quant_algo == "FP8" and "input_scale" not in module.tensors,
        logical_shape=_logical(first, weight),
    )


def _logical(row: FormatRow, weight: Tensor) -> tuple[int, ...]:
    *stacked, out, columns = weight.shape
    match row.packed:
        case "in":
            return (*stacked, out, 2 * columns)
        case "out":
            return (*stacked, 2 * out, columns)
        case None:
            return weight.shape


def _fits_layout(row: FormatRow, weight: Tensor, scale: Tensor) -> int | None:
    if (row.weight_dtype, row.scale_dtype) != (weight.dtype, scale.dtype):
        return None
    return row.scale_shape(_logical(row, weight), scale.shape)


def _companion_faults(row: FormatRow, module: Module) -> list[str]:
    missing = [role for role in row.needs if role not in module.tensors]
    expected = row.needs + row.may_have
    optional = (role.name for role in OPTIONAL_COMPANIONS)
    extra = [role for role in optional if role in module.tensors and role not in expected]
    faults = [f"{role} is missing" for role in missing]
    faults += [f"{role} is not expected" for role in extra]
    return faults + _companion_shape_faults(row, module)


def _companion_shape_faults(row: FormatRow, module: Module) -> list[str]:
    faults = []
    weight = module.tensors["weight"]
    logical = _logical(row, weight)
    for role in OPTIONAL_COMPANIONS:
        tensor = module.tensors.get(role.name)
        if tensor is None:
            continue
        held = f"{role.name} is {tensor.dtype} {list(tensor.shape)}"
        scalar = tensor.dtype == "F32" and _scalar(logical, tensor.shape) is not None
        if role.holds == "scalar" and not scalar:
            faults.append(f"{held}, expected an F32 scalar")
        elif role.holds == "inputs" and tensor.shape != (logical[-1],):
            faults.append(f"{role.name} is {list(tensor.shape)}, expected [{logical[-1]}]")
    return faults


def _fits(row: FormatRow, module: Module) -> int | None:
    scale = module.tensors.get("weight_scale")
    if scale is None or _companion_faults(row, module):
        return None
    return _fits_layout(row, module.tensors["weight"], scale)


def _near_miss(module: Module, weight: Tensor) -> str:
    """Why no row fits, told against the row that fits best."""
    scale = module.tensors.get("weight_scale")
    held = f"weight is {weight.dtype} {list(weight.shape)}"
    if scale is None:
        if "weight_scale_inv" in module.tensors:
            return f"{held} with weight_scale_inv, which is not a ModelOpt format"
        return f"{held} and has no weight_scale"
    held += f", weight_scale is {scale.dtype} {list(scale.shape)}"
    layout = [row for row in FORMAT_TABLE if _fits_layout(row, weight, scale) is not None]
    if layout:
        row = min(layout, key=lambda row: len(_companion_faults(row, module)))
        return f"{held}: as {row.quant_algo}, " + ", ".join(_companion_faults(row, module))
    dtypes = [
        r for r in FORMAT_TABLE if (r.weight_dtype, r.scale_dtype) == (weight.dtype, scale.dtype)
    ]
    if dtypes:
        names = ", ".join(dict.fromkeys(row.quant_algo for row in dtypes))
        return f"{held}: the shape of weight_scale fits none of {names}"
    return f"{held}: no known format has these dtypes"
