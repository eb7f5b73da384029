"""One weight as it is stored, with its companions, on any device."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from ckptfix.checkpoint.formats.format import Format
from ckptfix.checkpoint.roles import ROLES

SOURCE = "source"
"""Role of the unquantized weight, if there is one to compare with."""
_BY_ROW = frozenset({*(role.name for role in ROLES if role.by_row), SOURCE})
ROW_BLOCK = 128
"""Rows per scale of the block formats; a slice of rows begins at a multiple of it."""


class StoredWeight(Struct, frozen=True):
    """The tensors of one checkpoint module with a two-dimensional weight."""

    name: str
    """Checkpoint name; of one expert of a stacked bank with its number, `experts.up_proj[3]`."""
    format: Format
    shape: tuple[int, int]
    """`out`, `in`, before packing."""
    tensors: Mapping[str, Tensor]
    """Role -> tensor."""

    def scalar(self, role: str) -> Tensor:
        """A companion with one value, as a 0-dimensional F32 tensor."""
        return self.tensors[role].float().reshape(())

    def with_tensors(self, **tensors: Tensor) -> "StoredWeight":
        """The same module with other values for some roles."""
        return replace(self, tensors={**self.tensors, **tensors})

    def rows(self, start: int, stop: int) -> "StoredWeight":
        """Some rows of it; `start` is a multiple of `ROW_BLOCK`."""
        out, columns = self.shape
        stop = min(stop, out)
        sliced = {role: self._rows_of(role, start, stop) for role in self.tensors}
        return replace(self, shape=(stop - start, columns), tensors=sliced)

    def _rows_of(self, role: str, start: int, stop: int) -> Tensor:
        tensor, out = self.tensors[role], self.shape[0]
        if role not in _BY_ROW or tensor.numel() == 1:
            return tensor
        rows_each = max(1, -(-out // tensor.shape[0]))
        if rows_each == 1:
            return tensor[start:stop]
        per = 2 if role == "weight" else ROW_BLOCK
        return tensor[start // per : -(-stop // per)]


def unstacked(stored: StoredWeight, experts: int) -> tuple[StoredWeight, ...]:
    """The experts of a stacked bank `[experts, out, in]`, each a module of its own."""
    return tuple(
        replace(
            stored,
            name=f"{stored.name}[{expert}]",
            tensors={
                role: tensor[expert] if tensor.dim() and tensor.shape[0] == experts else tensor
                for role, tensor in stored.tensors.items()
            },
        )
        for expert in range(experts)
    )
