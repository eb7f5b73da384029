"""Verdicts for checkpoints of other quantizers: each runtime module as stored and as built.

The release's class for the quantizer reads the metadata; here its answer is compared with the
tensors. A release stops at a tensor that its layer has no parameter for, and does
not report a parameter that no tensor fills (vllm 0.33.0, vllm/model_executor/models/utils.py).
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.format import TO_F32
from ckptfix.checkpoint.formats.stored import Fit, StoredFormat
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.roles import KV_ROLES, OUTPUT_SCALE, ROLES
from ckptfix.runtimes.common.methods import Layer, LayerKind, Lookup, NotKnownError
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.counted_modules import Counted, counted_modules
from ckptfix.runtimes.learned.table import fill, mask, numbers_of
from ckptfix.runtimes.loads import Effect
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleVerdict
from ckptfix.runtimes.renamed_scales import INVERSE, RENAMED
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.text import visible

_TENSOR: Final = "FP8_TENSOR"
_CHANNEL: Final = "FP8_CHANNEL"
_SPLIT_BY_INPUTS: Final = ("o_proj", "down_proj")
_TENSOR_INVERSE: Final = "FP8_TENSOR_INV"
KNOWN_ROLES: Final = frozenset({*(role.name for role in ROLES), OUTPUT_SCALE})
_KV_PROJECTIONS: Final = ("q_proj", "k_proj", "v_proj")
OUTPUTS_OF: Final = ("fp8", "quark")
"""Values of quant_method whose classes read the output_scale of these projections: it is that of
the KV cache (vllm 0.33.0, quantization/fp8.py and quark/quark.py `get_cache_scale`). For other
classes it has no place, as anywhere else."""
_WITHOUT_PARAMETER: Final = frozenset({"bias", *KV_ROLES})
"""Tensors of a layer or its attention, quantized or not."""


class MethodJudge(Struct, frozen=True):
    """Judges the modules of a checkpoint by the schemes that a class of a release finds."""

    checkpoint: Checkpoint
    lookup: Lookup
    file: str
    """The metadata that the class reads, for messages."""
    method: str
    """Its quant_method."""
    embeddings: Mapping[str, str | None]
    """Place of an embedding -> the name that it is looked up as, None if it never is, with `#` for
    numbers. Of others that is not known."""
    drops_strays: bool = False
    """The release skips a tensor that its layer has no parameter for."""
    is_dequantized: Callable[[str], bool] = lambda name: False  # noqa: ARG005 - of most classes
    """Whether the loader dequantizes a module of the checkpoint in blocks of FP8."""
    loads_kv_scales: bool = True
    """The class loads scales of the KV cache."""
    renames_scales: bool = False
    """The loader renames scales of FP8, as `RENAMED` says."""

    def judge(self, modules: Sequence[RuntimeModule]) -> tuple[ModuleVerdict, ...]:
        """The verdicts; those on convolutions that are not stored quantized are left out.

        So are those on embeddings that are neither stored nor built quantized.

        A module that does not load decides, whatever is not known of others, which are left out.

        Raises:
            NotKnownError: what the release builds for a scheme is not known.
        """
        found: list[ModuleVerdict] = []
        unknown: list[NotKnownError] = []
        for counted in counted_modules(self.checkpoint, modules, self.is_dequantized):
            try:
                verdict = self._judged(counted)
            except NotKnownError as error:
                unknown.append(error)
                continue
            if not (counted.is_plain_embedding and verdict.agrees):
                found.append(verdict)
        if unknown and all(verdict.agrees for verdict in found):
            raise unknown[0]
        return tuple(found)

    def _judged(self, counted: Counted) -> ModuleVerdict:
        module, formats = counted.module, counted.formats
        layer, by, error = self._layer(counted)
        if layer is None:
            labels = sorted({stored.label() for stored in formats})
            if labels == [UNQUANTIZED]:
                by = ""
            resolved = "error" if error else UNQUANTIZED
            return ModuleVerdict.of(module, labels=labels, resolved=resolved, reason=error or by)
        fits = [_fit(layer, stored) for stored in formats]
        found = zip(fits, formats, strict=True)
        labels = sorted({fit.quant_algo if fit else stored.label() for fit, stored in found})
        built = next((fit.quant_algo for fit in fits if fit), layer.formats[0])
        reason, effect = self._misfit(counted, layer, by, fits)
        if not reason:
            _require_tiles(module, layer, fits)
            self._require_copied(counted, fits)
        return ModuleVerdict.of(
            module, labels=labels, resolved=built, reason=reason, effect=effect, decided_by=by
        )

    def _looked_up(self, counted: Counted) -> str | None:
        """The name of a module in the metadata; None if it is never looked up.

        An embedding of which that is not known is, if it is stored quantized.
        """
        module = counted.module
        if module.kind == "embedding":
            usual = None if counted.is_plain_embedding else module.name
            masked = self.embeddings.get(mask(module.name), usual)
            return None if masked is None else fill(masked, numbers_of(module.name))
        return module.name if module.takes_quant_config else None

    def _layer(self, counted: Counted) -> tuple[Layer | None, str, str]:
        """What is built, why or by which part of the metadata, and why the release raises."""
        kind, name = _kind_of(counted.module), self._looked_up(counted)
        if name is None:
            return None, "this runtime builds it without a quantization config", ""
        if kind is None:
            return None, "this runtime builds it unquantized", ""
        try:
            scheme = self.lookup.find(name, kind)
            layer = self.lookup.layer(scheme, kind) if scheme else None
        except LookupDisagreementError as error:
            return None, "", str(error)
        if scheme is None or layer is None or not layer.formats:
            return None, f"nothing in {self.file} quantizes it for this release", ""
        if self.renames_scales and _TENSOR in layer.formats:
            layer = replace(layer, formats=(*layer.formats, _TENSOR_INVERSE))
        return layer, scheme.decided_by, ""

    def _misfit(
        self, counted: Counted, layer: Layer, decided_by: str, fits: Sequence[Fit | None]
    ) -> tuple[str, Effect]:
        for member, fit, stored in zip(counted.members, fits, counted.formats, strict=True):
            if fit is None:
                reason = f"{visible(decided_by)} declares {layer.formats[0]}"
                return reason, _mismatch_effect(layer, stored)
            if found := self._at_fault(member, layer, fit):
                return found
        if counted.module.kind != "experts" and (why := _uneven(layer, fits)):
            return why, Effect.STOPS
        return "", Effect.STOPS

    def _at_fault(self, member: str, layer: Layer, fit: Fit) -> tuple[str, Effect] | None:
        """What is wrong with a module of a format that the layer loads."""
        strays = self._strays(member, layer)
        if strays and not self.drops_strays:
            return strays, Effect.STOPS
        scale = self.checkpoint.modules[member].tensors.get(fit.format.scale)
        if layer.column_scales and scale is not None and len(scale.shape) == 1:
            rows = scale.shape[0]
            why = f"this release builds it with scales [{rows}, 1], but [{rows}] are stored"
            return why, Effect.STOPS
        if why := _wrong_groups(layer, fit) or self._wrong_blocks(member, layer, fit):
            return why, Effect.STOPS
        lost = self._lost(member, layer)
        return lost or ((strays, Effect.WRONG_WEIGHTS) if strays else None)

    def _wrong_blocks(self, member: str, layer: Layer, fit: Fit) -> str:
        """Whether the stored scales are those of blocks with another number of rows."""
        scale = self.checkpoint.modules[member].tensors.get(fit.format.scale)
        if not layer.merged_rows or scale is None or len(scale.shape) < 2:
            return ""
        wanted, stored = -(-fit.logical_shape[-2] // layer.merged_rows), scale.shape[-2]
        if wanted == stored:
            return ""
        blocks = f"blocks of {layer.merged_rows:,} rows, {wanted:,} in this module"
        return f"this release builds it with {blocks}, but scales of {stored:,} are stored"

    def _require_copied(self, counted: Counted, fits: Sequence[Fit | None]) -> None:
        """Check that a release copies what the scales of rows are stored as.

        Raises:
            NotKnownError: sglang 0.5.23 stops at F64 and integers where the outputs of a layer of
                its own are split (sglang/srt/layers/parameter.py `copy_with_check`), not in packed
                layers, experts and those of which the inputs are split.
        """
        module, last = counted.module, counted.module.name.rpartition(".")[2]
        copies = len(module.members) > 1 or module.kind == "experts" or last in _SPLIT_BY_INPUTS
        if copies or not self.drops_strays:
            return
        for member, fit in zip(counted.members, fits, strict=True):
            scale = self.checkpoint.modules[member].tensors.get("weight_scale")
            if fit and fit.quant_algo == _CHANNEL and scale and scale.dtype not in TO_F32:
                raise NotKnownError(f"scales of rows in {scale.dtype}")

    def _lost(self, member: str, layer: Layer) -> tuple[str, Effect] | None:
        """A parameter that nothing fills, among them that of a scale that gets another name."""
        if self.renames_scales and INVERSE in layer.takes:
            text = f"its loader takes {visible(member)}.{INVERSE} for {RENAMED[INVERSE]}"
            effect = Effect.WRONG_WEIGHTS if self.drops_strays else Effect.STOPS
            return f"{text}, which a layer with blocks does not have", effect
        lost = sorted(layer.takes - self._roles(member))
        message = f"{visible(member)} has no {lost[0]}, which this release requires" if lost else ""
        return (message, Effect.WRONG_WEIGHTS) if lost else None

    def _strays(self, member: str, layer: Layer) -> str:
        """What the module has besides the parameters of its layer."""
        stored = self._roles(member)
        odd = stored - layer.takes - layer.passes_over - _WITHOUT_PARAMETER - {OUTPUT_SCALE}
        if OUTPUT_SCALE in stored and not self.reads_output(member):
            odd |= {OUTPUT_SCALE}
        if self.renames_scales:  # one would be loaded over the other
            held = self.checkpoint.modules[member].tensors
            odd |= {role for role in held if RENAMED.get(role) in held}
        return f"has no parameter for {visible(member)}.{min(odd)}" if odd else ""

    def reads_output(self, member: str) -> bool:
        """Whether the class takes the output_scale of a module for a scale of the KV cache.

        A release that drops it where the cache is not quantized needs none.
        """
        is_cached = member.rpartition(".")[2] in _KV_PROJECTIONS
        reads = self.loads_kv_scales if self.drops_strays else self.method in OUTPUTS_OF
        return is_cached and reads

    def _roles(self, member: str) -> Set[str]:
        """What a module stores, by the names of the parameters that it is loaded into."""
        stored = self.checkpoint.modules[member].tensors.keys()
        return {RENAMED.get(role, role) for role in stored} if self.renames_scales else stored


def _kind_of(module: RuntimeModule) -> LayerKind | None:
    """The kind of layer that looks up a scheme; None for a convolution, which does not."""
    return None if module.kind == "other" else module.kind


def _fit(layer: Layer, stored: StoredFormat) -> Fit | None:
    return next((fit for row in layer.formats if (fit := stored.fit(row))), None)


def _mismatch_effect(layer: Layer, stored: StoredFormat) -> Effect:
    """A float weight is cast into codes of its own shape, without a scale; others stop it."""
    row = format_named(layer.formats[0])
    same_shape = row is not None and row.weight == "weight" and row.codes.packed is None
    cast = same_shape and not stored.is_quantized
    return Effect.WRONG_WEIGHTS if cast else Effect.STOPS


def _wrong_groups(layer: Layer, fit: Fit) -> str:
    if layer.group_size is None:
        return ""
    columns = fit.logical_shape[-1]
    wanted = layer.group_size if layer.group_size > 0 else columns
    stored = fit.group_size or columns
    if wanted == stored or fit.format.scales.shape is None:
        return ""
    if layer.merged_rows and -(-columns // wanted) == -(-columns // stored) == 1:
        return ""  # one block of any size
    return f"this release builds it with groups of {wanted}, but groups of {stored} are stored"


def _require_tiles(module: RuntimeModule, layer: Layer, fits: Sequence[Fit | None]) -> None:
    """Check that the kernel of a layer takes its shape.

    Raises:
        NotKnownError: it does not, and what takes over was not read.
    """
    shapes = [fit.logical_shape for fit in fits if fit]
    if module.kind != "experts":
        shapes = [(sum(shape[-2] for shape in shapes), shapes[0][-1])]
    rows, columns = layer.tile
    for shape in shapes:
        if shape[-2] % rows or shape[-1] % columns:
            raise NotKnownError(f"weights of {shape[-2]:,} rows and {shape[-1]:,} columns")


def _uneven(layer: Layer, fits: Sequence[Fit | None]) -> str:
    """Blocks must not span two members of a packed module."""
    rows = [fit.logical_shape[-2] for fit in fits[:-1] if fit]
    if layer.merged_rows and any(number % layer.merged_rows for number in rows):
        number = next(number for number in rows if number % layer.merged_rows)
        return (
            f"a member has {number:,} rows, but this release needs multiples of {layer.merged_rows}"
        )
    return ""
