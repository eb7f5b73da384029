"""Tensors whose size differs from the one that was learned from the class, or read in it."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.learned.sizes import SizeRow, SizesFor
from ckptfix.runtimes.learned.table import mask
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.size_expressions import size_in
from ckptfix.runtimes.structure.sizes import Sizes, misfit, mismatch, packed_reason, stored_shape
from ckptfix.runtimes.structure.tree import Tree

_WEIGHT: Final = "weight"
_PLAIN: Final = ("BF16", "F16", "F32")


def learned_size_reasons(tree: Tree) -> Iterator[Reason]:
    """The first tensor of each row that does not have the size of its class."""
    known = _Known.of(tree)
    if known is None:
        return
    seen: set[tuple[str, int]] = set()
    said: set[Sequence[str]] = set()
    for name, module in tree.checkpoint.modules.items():
        kind = known.kind_of(name, module)
        if kind in seen:
            continue
        seen.add(kind)
        for role, tensor in _named(module):
            row = known.row_of(tensor)
            if row is None or row.sizes in said:
                continue
            kinds = (known.shape(sizes) for sizes in (row.sizes, *row.others))
            reasons = [_misfit(tree, module, role, row, expected) for expected in kinds]
            reason = reasons[0]
            if reason is not None and all(reasons):
                said.add(row.sizes)
                yield reason


def _named(module: Module) -> Iterator[tuple[str, str]]:
    """(role, name of a tensor), of codes that have a name of their own that of the weight, too."""
    yield from module.tensor_names.items()
    if module.weight is not None and _WEIGHT not in module.tensors:
        yield _WEIGHT, f"{module.name}.{_WEIGHT}"


class _Known(Struct, frozen=True):
    """Sizes for one config: those that were read in the class go before those of the learner."""

    written: Mapping[str, SizeRow]
    learned: SizesFor | None
    config: ModelConfig

    @classmethod
    def of(cls, tree: Tree) -> "_Known | None":
        """None if nothing is known of the class."""
        values, expected = tree.checkpoint.config_values, tree.expected
        if values is None or (expected.sizes is None and expected.by_config is None):
            return None
        sizes = expected.sizes.for_config(values, expected.config_class) if expected.sizes else None
        written = expected.by_config.sizes(tree.flat) if expected.by_config else {}
        return cls(written, sizes, ModelConfig(values=tree.flat))

    def kind_of(self, name: str, module: Module) -> tuple[str, int]:
        """The same for modules whose tensors have the same rows."""
        is_named = self.written and not self.written.keys().isdisjoint(module.tensor_names.values())
        return name if is_named else mask(name), id(module.tensors)

    def row_of(self, tensor: str) -> SizeRow | None:
        """The row of a tensor; None if its sizes are not known."""
        masked = mask(tensor)
        row = self.written.get(tensor) or self.written.get(masked)
        return row or (self.learned.row_of(masked) if self.learned else None)

    def shape(self, sizes: tuple[str, ...]) -> Sizes:
        """The shape that the class expects; None for a dimension that is not known."""
        return tuple(size_in(size, self.config) for size in sizes)


def _misfit(tree: Tree, module: Module, role: str, row: SizeRow, expected: Sizes) -> Reason | None:
    """What is wrong with a tensor, if its layer is of the kind that has these sizes."""
    stored = stored_shape(tree, module) if role == _WEIGHT else _plain_shape(module, role)
    if stored is None:
        return packed_reason(tree, module, expected) if role == _WEIGHT else None
    name = "" if role == _WEIGHT else module.tensor_names[role]
    if len(stored) != len(expected):
        place = tree.places.get(module.name, "")
        is_table = tree.family.modules.is_embedding(place) or module.name in tree.heads
        return _of_other_dimensions(module, role, stored, expected, is_table=is_table)
    return misfit(tree, row, module, stored, expected, name=name)


def _of_other_dimensions(
    module: Module, role: str, stored: tuple[int, ...], expected: Sizes, *, is_table: bool
) -> Reason | None:
    """A vector, or a parameter, of which the loader has other dimensions; None: it may take both.

    It compares sizes, except of tensors of one value (vllm 0.33.0 and sglang 0.5.23,
    `default_weight_loader` of model_loader/weight_utils.py). Matrices may be reshaped,
    embeddings are not.
    """
    is_matrix = role == _WEIGHT and len(expected) != 1 and not is_table
    if is_matrix or (prod(stored) == 1 and expected == (1,)):
        return None
    name = module.tensor_names.get(role, module.name)
    return Reason.stop(mismatch(name, stored, expected), tensor=name, of_first=True)


def _plain_shape(module: Module, role: str) -> tuple[int, ...] | None:
    tensor = module.tensors[role]
    return tensor.shape if tensor.dtype in _PLAIN else None
