"""What the metadata should say of each module, from the tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.metadata import MIXED

_EXPERT: Final = re.compile(r"(.*\.experts)\.\d+\.")


@dataclass(frozen=True)
class StoredLayer:
    """How one module is stored, in the words of the metadata."""

    quant_algo: str
    group_size: int | None
    """None when the format has no groups, or blocks whose size the metadata does not say."""

    def as_entry(self) -> dict[str, str | int]:
        """As ModelOpt writes a value of quantized_layers."""
        size = {} if self.group_size is None else {"group_size": self.group_size}
        return {"quant_algo": self.quant_algo, **size}


@dataclass(frozen=True)
class StoredLayers:
    """Both sides of the question which module is quantized how."""

    quantized: Mapping[str, StoredLayer]
    """Checkpoint name -> layer; without modules whose tensors fit no format."""
    unquantized: tuple[str, ...]
    """Linear layers in float; checkpoint names."""

    @cached_property
    def uniform(self) -> StoredLayer | None:
        """The one layer that all quantized modules are; None when they differ."""
        kinds = set(self.quantized.values())
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def quant_algo(self) -> str:
        """Of the whole checkpoint; MIXED_PRECISION when modules differ."""
        return self.uniform.quant_algo if self.uniform else MIXED

    def as_entries(self, without: frozenset[str] = frozenset()) -> dict[str, StoredLayer]:
        """Name -> layer for quantized_layers; a bank of like experts is one entry, `...experts`.

        Args:
            without: modules that have an entry already; a bank with one of them is not joined.
        """
        banks: dict[str, set[StoredLayer]] = {}
        split = {bank for name in without if (bank := _bank_of(name))}
        for name, layer in self.quantized.items():
            if bank := _bank_of(name):
                banks.setdefault(bank, set()).add(layer)
        split |= {bank for bank, kinds in banks.items() if len(kinds) > 1}
        split |= {bank for name in self.unquantized if (bank := _bank_of(name))}
        entries: dict[str, StoredLayer] = {}
        for name, layer in self.quantized.items():
            bank = _bank_of(name)
            if name not in without:
                entries[bank if bank and bank not in split else name] = layer
        return entries


def _bank_of(name: str) -> str | None:
    found = _EXPERT.match(name)
    return found[1] if found else None


def stored_layers(checkpoint: Checkpoint, declared: Mapping[str, str]) -> StoredLayers:
    """Read every module.

    Args:
        checkpoint: tensors.
        declared: checkpoint name -> quant_algo by which the metadata calls it. It decides only
            between formats that store alike, such as `mxfp4` and `W4A8_MXFP4_FP8`.
    """
    found = {name: stored for name, stored in checkpoint.formats.items() if stored.fits}
    shared = _shared(found.values())
    quantized = {name: _layer(stored, declared.get(name), shared) for name, stored in found.items()}
    return StoredLayers(quantized, tuple(checkpoint.unquantized_linears))


def _shared(formats: Iterable[StoredFormat]) -> str | None:
    """A quant_algo that every module fits.

    A block-wise weight of one block has the scale of a per-tensor one, and AWQ leaves no
    pre_quant_scale where it was folded into the layer before: only the rest tells.
    """
    fitting = [[fit.quant_algo for fit in stored.fits] for stored in formats]
    common = set.intersection(*map(set, fitting)) if fitting else set()
    return next((algo for algo in fitting[0] if algo in common), None) if fitting else None


def _layer(stored: StoredFormat, *preferred: str | None) -> StoredLayer:
    fit = next(filter(None, map(stored.fit, preferred)), stored.fits[0])
    sized = fit.group_size and fit.format.writes_group_size
    return StoredLayer(fit.quant_algo, fit.group_size if sized else None)
