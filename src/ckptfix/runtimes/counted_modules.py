"""Runtime modules that count in a verdict for another quantizer, and what each is loaded from."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.checkpoint.formats.stored import UNQUANTIZED as DEQUANTIZED
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.runtimes.runtime_module import RuntimeModule

_BLOCKS: Final = "FP8_BLOCK_INV"


class Counted(Struct, frozen=True):
    """A module that counts, and what its layer is loaded from."""

    module: RuntimeModule
    members: Sequence[str]
    """Those that differ in what they store: of equal experts the first one."""
    formats: Sequence[StoredFormat]
    """Of each of them, as the loader hands it over."""

    @property
    def is_plain(self) -> bool:
        """None of them is stored quantized."""
        return not any(stored.is_quantized for stored in self.formats)

    @property
    def is_plain_embedding(self) -> bool:
        """It is an embedding that is not stored quantized."""
        return self.module.kind == "embedding" and self.is_plain


def counted_modules(
    checkpoint: Checkpoint, modules: Sequence[RuntimeModule], is_dequantized: Callable[[str], bool]
) -> Sequence[Counted]:
    """Those that count; found once for all metadata of the same tensors.

    Modules of draft layers do not, which a separate model loads, nor convolutions that are not
    stored quantized.

    Args:
        checkpoint: what is judged.
        modules: the runtime's.
        is_dequantized: whether the loader dequantizes a module of the checkpoint in blocks of FP8.
    """
    key, derived = ("counted", id(modules)), checkpoint.table.derived
    made_for, found = derived.get(key, (None, ()))
    if made_for is not modules:
        of_model = (m for m in modules if not all(draft_root(checkpoint, n) for n in m.members))
        each = (_counted(checkpoint, module, is_dequantized) for module in of_model)
        found = tuple(one for one in each if one.module.kind != "other" or not one.is_plain)
        derived[key] = modules, found
    counted: Sequence[Counted] = found
    return counted


def _counted(
    checkpoint: Checkpoint, module: RuntimeModule, is_dequantized: Callable[[str], bool]
) -> Counted:
    members = module.members
    if module.kind == "experts":
        members = _unlike(checkpoint, members, is_dequantized)
    formats = [_as_loaded(checkpoint.formats[m], is_dequantized(m)) for m in members]
    return Counted(module, members, formats)


def _unlike(
    checkpoint: Checkpoint, members: Sequence[str], is_dequantized: Callable[[str], bool]
) -> tuple[str, ...]:
    """The first of those that store the same, which share their objects."""
    modules, formats = checkpoint.modules, checkpoint.formats
    kinds: dict[tuple[int, int, bool], str] = {}
    for member in members:
        kind = id(modules[member].tensors), id(formats[member]), is_dequantized(member)
        kinds.setdefault(kind, member)
    return tuple(kinds.values())


def _as_loaded(stored: StoredFormat, dequantized: bool) -> StoredFormat:
    return DEQUANTIZED if dequantized and stored.fit(_BLOCKS) is not None else stored
