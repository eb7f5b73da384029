"""INT8, scaled by output feature."""

from torch import Tensor

from ckptfix.verifying.stored import StoredWeight


def codes(stored: StoredWeight) -> Tensor:
    """The values before scaling."""
    return stored.tensors["weight"].float()
