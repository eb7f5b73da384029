"""The tensors of a checkpoint, by the blocks in which learned tables know them."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.draft_layers import is_declared_draft
from ckptfix.checkpoint.formats.format import Format
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.runtimes.learned.table import mask, split

_SCALES: Final = frozenset({"weight_scale", "weight_scale_2", "input_scale"})


class StoredBlocks(Struct, frozen=True):
    """A checkpoint's tensors by block."""

    names: Mapping[str, frozenset[str]]
    """Block -> names below it, masked; the block "" also has the masked names of the others."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, *, drafts: bool = True) -> "StoredBlocks":
        """The blocks of a checkpoint, made once; scales of quantized modules are in none.

        Args:
            checkpoint: as it is stored.
            drafts: with the draft layers that config.json counts.
        """
        config = checkpoint.config
        key = "learned blocks", None if drafts else (config.draft_layers, config.num_hidden_layers)
        derived = checkpoint.table.derived
        if key not in derived:
            below_of: dict[str, set[str]] = {"": set()}
            for tensor in _plain_tensors(checkpoint):
                if not drafts and is_declared_draft(checkpoint, tensor):
                    continue
                block, below = split(tensor)
                below_of.setdefault(block, set()).add(mask(below))
            below_of[""].update(mask(block) for block in below_of if block)
            derived[key] = cls({block: frozenset(names) for block, names in below_of.items()})
        made: StoredBlocks = derived[key]
        return made


def _plain_tensors(checkpoint: Checkpoint) -> Iterator[str]:
    """Names of all tensors as if nothing was quantized."""
    for module in checkpoint.modules.values():
        fits = checkpoint.formats[module.name].fits
        own = frozenset().union(*(_roles_of(fit.format) for fit in fits))
        leaves = set(module.tensors)
        is_quantized = "weight" in leaves and not leaves.isdisjoint(_SCALES)
        left_out = {*KV_ROLES, *(_SCALES if is_quantized else ()), *own}
        yield from (name for role, name in module.tensor_names.items() if role not in left_out)
        if own and "weight" not in leaves - own:
            yield f"{module.name}.weight"


def _roles_of(row: Format) -> frozenset[str]:
    """Roles of the tensors that another quantizer stores for a weight."""
    if not row.quantizer and not row.is_native:
        return frozenset()
    zeros = (row.zeros.role,) if row.zeros else ()
    return frozenset((row.weight, row.scale, *row.needs, *row.may_have, *zeros))
