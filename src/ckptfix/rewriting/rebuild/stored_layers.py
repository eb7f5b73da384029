"""Stored layers, each with the name that the metadata gives to its format."""

from collections.abc import Iterable, Mapping

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.layers import StoredLayer, StoredLayers
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.tied_head import absent_head


def stored_layers(checkpoint: Checkpoint, declared: Mapping[str, str]) -> StoredLayers:
    """Read every module except those that the metadata cannot describe.

    Args:
        checkpoint: tensors.
        declared: checkpoint name -> its quant_algo in the metadata. It decides only
            between formats that are stored identically, such as `mxfp4` and `W4A8_MXFP4_FP8`.
    """
    left_alone = checkpoint.left_alone
    found = {
        name: stored
        for name, stored in checkpoint.formats.items()
        if stored.fits and not checkpoint.foreign(stored) and name not in left_alone
    }
    shared = _shared(found.values())
    quantized = {name: _layer(stored, declared.get(name), shared) for name, stored in found.items()}
    head = tied_head_to_exclude(checkpoint)
    return StoredLayers(quantized, (*checkpoint.unquantized_linears, *([head] if head else [])))


def tied_head_to_exclude(checkpoint: Checkpoint) -> str | None:
    """A head that is not stored, but that vLLM builds in the format of the other layers.

    ModelOpt excludes it, too (`runtimes/tied_head.py`).
    """
    return absent_head(checkpoint.modules) if checkpoint.config.may_tie else None


def _shared(formats: Iterable[StoredFormat]) -> str | None:
    """A quant_algo that every module fits.

    A block-wise weight of one block has the scale of a per-tensor one, and AWQ leaves no
    pre_quant_scale if it was folded into the previous layer: only the other modules show it.
    """
    fitting = [[fit.quant_algo for fit in stored.fits] for stored in formats]
    common = set.intersection(*map(set, fitting)) if fitting else set()
    return next((algo for algo in fitting[0] if algo in common), None) if fitting else None


def _layer(stored: StoredFormat, *preferred: str | None) -> StoredLayer:
    fit = next(filter(None, map(stored.fit, preferred)), stored.fits[0])
    sized = fit.group_size and fit.format.writes_group_size
    return StoredLayer(fit.quant_algo, fit.group_size if sized else None)
