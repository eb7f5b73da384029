"""What the metadata should declare for each module, from the tensors."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct

_EXPERT: Final = re.compile(r"(.*\.experts)\.\d+\.")


class StoredLayer(Struct, frozen=True):
    """How one module is stored, as the table of stored formats spells it."""

    quant_algo: str
    group_size: int | None
    """None if the format has no groups, or blocks whose size the metadata does not declare."""


class StoredLayers(Struct, frozen=True, dict=True):
    """Quantized and unquantized modules of a checkpoint."""

    quantized: Mapping[str, StoredLayer]
    """Checkpoint name -> layer; without modules whose tensors fit no format."""
    unquantized: tuple[str, ...]
    """Unquantized linear layers; checkpoint names."""

    @cached_property
    def uniform(self) -> StoredLayer | None:
        """The layer common to all quantized modules; None if they differ."""
        kinds = set(self.quantized.values())
        return kinds.pop() if len(kinds) == 1 else None

    def as_entries(self, without: frozenset[str] = frozenset()) -> dict[str, StoredLayer]:
        """Name -> layer; a bank of identical experts is one entry, `...experts`.

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
