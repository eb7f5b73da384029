"""The stored format of a module, from dtypes, shapes and companion tensors alone."""

from functools import cached_property
from math import prod
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.formats import table
from ckptfix.checkpoint.formats.format import Format, is_scalar
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import NAMES_OF_MODELS, OPTIONAL_COMPANIONS, WEIGHTS
from ckptfix.checkpoint.safetensors import Tensor

_OF_TABLES: Final = ("I32", "U32")
_OF_BANK: Final = 3
"""Dimensions of a bank of experts in one tensor."""
_OF_ROWS: Final = 2
"""Dimensions of scales, at least, next to which zero points are stored."""
FLOAT_DTYPES: Final = frozenset({"BF16", "F16", "F32", "F64"})


class Fit(Struct, frozen=True):
    """A format whose tensors look exactly like the module's."""

    format: Format
    group_size: int
    """Input columns per scale; 0 when the format has no groups."""
    logical_shape: tuple[int, ...]
    """Shape of the weight before packing, `[..., out, in]`."""

    @property
    def quant_algo(self) -> str:
        """Of the format."""
        return self.format.quant_algo


class StoredFormat(Struct, frozen=True, dict=True):
    """What a module's tensors prove."""

    fits: tuple[Fit, ...] = ()
    """More than one where formats are stored identically (`mxfp4` and `W4A8_MXFP4_FP8`); empty when
    unquantized or unknown."""
    weight_only: bool = False
    """Of a format with static inputs, FP8 for example, stored without `input_scale`."""
    logical_shape: tuple[int, ...] = ()
    """Shape of the weight before packing, of the first fit; `()` without a weight."""
    problem: str = ""
    """Why the tensors fit no format: what is there and what would be needed."""
    by_names: bool = False
    """Only the names of the tensors are known: it may be in any of the formats that fit."""

    @property
    def is_quantized(self) -> bool:
        """True also for tensors that are quantized in no known format."""
        return bool(self.fits or self.problem)

    @property
    def is_native(self) -> bool:
        """True for a format that the model may have had before it was quantized."""
        return bool(self.fits) and all(fit.format.is_native for fit in self.fits)

    @property
    def quantizer(self) -> str:
        """Who stores it, for people; empty where ModelOpt may, or the model was published so."""
        others = [fit.format.quantizer for fit in self.fits]
        return others[0] if others and all(others) else ""

    @property
    def parameters(self) -> int:
        """Number of weight values before packing."""
        return prod(self.logical_shape) if self.logical_shape else 0

    def fit(self, quant_algo: str | None) -> Fit | None:
        """The fit for a declared quant_algo (letter case aside), None if the tensors refute it."""
        return self._by_algo.get((quant_algo or "").lower())

    @cached_property
    def _by_algo(self) -> dict[str, Fit]:
        """quant_algo in lower case -> the first fit of that name."""
        return {fit.quant_algo.lower(): fit for fit in reversed(self.fits)}

    def label(self, declared: str | None = None) -> str:
        """A name for people: the declared algo where the tensors allow it, else the first fit."""
        fit = self.fit(declared)
        if fit is None:
            return "quantized" if self.by_names and self.fits else self.likely_label
        return fit.quant_algo

    @property
    def likely_label(self) -> str:
        """The same, of the first fit, whatever is declared."""
        if self.problem:
            return "unrecognized"
        return self.fits[0].quant_algo if self.fits else "unquantized"


UNQUANTIZED: Final = StoredFormat()


def is_inputs_first(stored: StoredFormat) -> bool:
    """True for a bank of quantized experts that is stored `[experts, in, out]`."""
    is_bank = len(stored.logical_shape) == _OF_BANK
    return is_bank and bool(stored.fits) and stored.fits[0].format.codes.transposed


def stored_format(module: Module) -> StoredFormat:
    """The stored format of a module.

    A module without a weight, or with an integer weight and no scale (a counter, a table), is
    unquantized: there is nothing that a runtime would dequantize.
    """
    weight = module.weight
    scaled = _scale_of(module)
    if weight is None:
        if scaled:
            return StoredFormat(problem=f"{scaled} without a weight")
        return UNQUANTIZED
    if not scaled and not _holds_codes(module, weight):
        return StoredFormat(logical_shape=weight.shape)
    if len(weight.shape) < 2:
        if not scaled:
            return StoredFormat(logical_shape=weight.shape)
        return StoredFormat(problem=f"{scaled} on a {len(weight.shape)}-D weight")
    return _match(module, weight)


def format_by_names(module: Module) -> StoredFormat:
    """Every format that has tensors of these names; nothing is known of dtypes and shapes.

    Whether a module is quantized does not depend on those, but for a weight in quantized codes
    without a scale, which fits no format.
    """
    scaled = _scale_of(module)
    if not scaled:
        return StoredFormat(by_names=True)
    if module.weight is None:
        return StoredFormat(problem=f"{scaled} without a weight", by_names=True)
    shape = module.weight.shape
    fits = tuple(
        Fit(row, 0, shape)
        for row in table.FORMATS
        if row.weight in module.tensors
        and row.scale in module.tensors
        and not _companion_names(row, module)
    )
    if not fits:
        return StoredFormat(problem=f"no format has {', '.join(module.tensors)}", by_names=True)
    return StoredFormat(fits, _is_weight_only(fits[0], module), shape, by_names=True)


def _is_weight_only(fit: Fit, module: Module) -> bool:
    return fit.format.inputs.static and "input_scale" not in module.tensors


def _holds_codes(module: Module, weight: Tensor) -> bool:
    """True for a weight that is quantized by its dtype, or by its name; not for a table."""
    if "weight" not in module.tensors:
        return True
    return weight.dtype not in _OF_TABLES and any(
        weight.dtype == r.codes.dtype for r in table.FORMATS
    )


def _scale_of(module: Module) -> str:
    """The role of its scales, whatever the format; empty where it has none."""
    if "weight_scale" in module.tensors or "weight_scale_2" in module.tensors:
        return "weight_scale"
    if len(module.tensors) < 2:
        return ""
    return next((row.scale for row in table.FORMATS if _has_scale(row, module)), "")


def _has_scale(row: Format, module: Module) -> bool:
    scale = module.tensors.get(row.scale)
    if scale is None:
        return False
    its_own = row.scale in NAMES_OF_MODELS and row.weight not in module.tensors
    return not its_own or len(scale.shape) > 1


def _match(module: Module, weight: Tensor) -> StoredFormat:
    fits = [
        Fit(row, size, row.codes.logical(module.tensors[row.weight].shape))
        for row in table.FORMATS
        if (size := _fits(row, module)) is not None
    ]
    if not fits:
        return StoredFormat(logical_shape=weight.shape, problem=_near_miss(module, weight))
    return StoredFormat(
        tuple(fits),
        weight_only=_is_weight_only(fits[0], module),
        logical_shape=fits[0].logical_shape,
    )


def _has_dtypes(row: Format, module: Module) -> bool:
    weight, scale = module.tensors.get(row.weight), module.tensors.get(row.scale)
    if weight is None or scale is None:
        return False
    return row.codes.dtype == weight.dtype and scale.dtype in row.scales.dtypes


def _fits_layout(row: Format, module: Module) -> int | None:
    if not _has_dtypes(row, module):
        return None
    return row.fits_shape(module.tensors[row.weight].shape, module.tensors[row.scale].shape)


_UNPACKED: Final = "weight"
_ORDER: Final = "g_idx"
"""The order of packed columns, which says nothing of codes that are not packed by GPTQ."""


def _companion_faults(row: Format, module: Module) -> list[str]:
    faults = _companion_names(row, module)
    return faults + _companion_shape_faults(row, module) + _zero_faults(row, module)


def _companion_names(row: Format, module: Module) -> list[str]:
    """Companions that the format needs and that are not there, and the reverse."""
    missing = [role for role in row.needs if role not in module.tensors]
    expected = row.needs + row.may_have
    optional = [role.name for role in OPTIONAL_COMPANIONS]
    if row.weight == _UNPACKED:
        optional.remove(_ORDER)
    extra = [role for role in optional if role in module.tensors and role not in expected]
    faults = [f"{role} is missing" for role in missing]
    return faults + [f"{role} is not expected" for role in extra]


def _zero_faults(row: Format, module: Module) -> list[str]:
    """Zero points whose shape does not match the codes."""
    zeros = module.tensors.get(row.zeros.role) if row.zeros else None
    if row.zeros is None or zeros is None:
        return []
    scale = module.tensors[row.scale].shape
    if len(scale) < _OF_ROWS:
        return []  # these scales fit no format with zero points
    logical = row.codes.logical(module.tensors[row.weight].shape)
    expected = row.zeros.shapes(logical, scale)
    if zeros.shape in expected:
        return []
    return [f"{row.zeros.role} is {list(zeros.shape)}, expected {list(expected[0])}"]


def _companion_shape_faults(row: Format, module: Module) -> list[str]:
    faults = []
    logical = row.codes.logical(module.tensors[row.weight].shape)
    for role in OPTIONAL_COMPANIONS:
        tensor = module.tensors.get(role.name)
        if tensor is None:
            continue
        found = f"{role.name} is {tensor.dtype} {list(tensor.shape)}"
        scalar = tensor.dtype in row.scalars and is_scalar(logical, tensor.shape)
        if role.holds == "scalar" and not scalar:
            faults.append(f"{found}, expected an {row.scalars[-1]} scalar")
        elif role.holds == "inputs" and tensor.shape != (logical[-1],):
            faults.append(f"{role.name} is {list(tensor.shape)}, expected [{logical[-1]}]")
    return faults


def _fits(row: Format, module: Module) -> int | None:
    if not _has_dtypes(row, module) or _companion_faults(row, module):
        return None
    return _fits_layout(row, module)


def _near_miss(module: Module, weight: Tensor) -> str:
    """Why no row fits, explained for the row that fits best."""
    of_scale = _scale_of(module)
    scale = module.tensors.get(of_scale)
    of_weight = next(role for role in WEIGHTS if role in module.tensors)
    found = f"{of_weight} is {weight.dtype} {list(weight.shape)}"
    if scale is None:
        return f"{found} and has no weight_scale"
    found += f", {of_scale} is {scale.dtype} {list(scale.shape)}"
    layout = [row for row in table.FORMATS if _fits_layout(row, module) is not None]
    if layout:
        row = min(layout, key=lambda row: len(_companion_faults(row, module)))
        return f"{found}: as {row.quant_algo}, " + ", ".join(_companion_faults(row, module))
    dtypes = [row for row in table.FORMATS if _has_dtypes(row, module)]
    if dtypes:
        names = ", ".join(dict.fromkeys(row.quant_algo for row in dtypes))
        return f"{found}: the shape of {of_scale} fits none of {names}"
    return f"{found}: no known format has these dtypes"
