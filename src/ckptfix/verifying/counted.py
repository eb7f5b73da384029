"""What the bytes of a weight and of its scales add up to."""

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from ckptfix.verifying.dequantize.registry import dequantizer
from ckptfix.verifying.stored import StoredWeight


class Codes(Struct, frozen=True):
    """How many codes of a weight are of some kind."""

    not_a_number: int
    zeros: int
    at_limit: int
    """As large as the largest code of the format."""
    largest: float
    """Of all that occur, absolute."""


class Pairing(Struct, frozen=True):
    """The scales of a weight, and how they go with its codes."""

    blocks: int
    """Their number."""
    largest: float
    """Absolute; NaN counts as 0."""
    pairs: Tensor
    """Float64 `[6]`: n, x, y, x x, y y and x y, summed over the n blocks that have a scale and a
    code above zero. x is the logarithm of the scale, y that of the root of the mean square of the
    codes; all zero for a single scale."""

    def __add__(self, other: "Pairing") -> "Pairing":
        largest = max(self.largest, other.largest)
        return Pairing(self.blocks + other.blocks, largest, self.pairs + other.pairs)


def codes_of(stored: StoredWeight, counts: Tensor) -> Codes:
    """From the number of times that each byte occurs in the weight, int64 `[256]`."""
    meanings = _meanings(stored)
    size = meanings.abs()
    kinds = [meanings.isnan(), meanings == 0, size >= stored.format.codes.largest]
    per_byte = torch.stack(kinds).sum(-1)
    not_a_number, zeros, at_limit = (per_byte * counts).sum(-1).tolist()
    largest = float(size[counts > 0].nan_to_num().amax())
    return Codes(not_a_number, zeros, at_limit, largest)


def _meanings(stored: StoredWeight) -> Tensor:
    """The codes that each byte holds, `[256, 1 or 2]`."""
    weight = stored.tensors["weight"]
    every = torch.arange(256, dtype=torch.uint8, device=weight.device).view(weight.dtype)
    one_column = replace(stored, tensors={"weight": every.reshape(256, 1)})
    return dequantizer(stored.format).codes(one_column).reshape(256, -1)
