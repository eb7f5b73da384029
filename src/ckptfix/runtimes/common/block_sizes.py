"""`weight_block_size` of FP8 metadata, as both runtimes take it."""

from typing import Final

from ckptfix.runtimes.common.objects import JsonObject

_KEY: Final = "weight_block_size"


def block_of(found: JsonObject) -> tuple[int, int] | None:
    """(Rows, columns) of a block; None if scales are not per block.

    vllm 0.33.0 and sglang 0.5.23, layers/quantization/fp8.py: they divide by both numbers, and make
    tensors of as many blocks.

    Args:
        found: the metadata.

    Raises:
        StopsError: it is something else than two whole numbers above 0.
    """
    block = found.get(_KEY)
    if block is None:
        return None
    if not isinstance(block, list) or len(block) != 2:
        raise found.stop(" is not a pair", _KEY)
    if not all(isinstance(size, int) and size > 0 for size in block):
        raise found.stop(" is not a pair of whole numbers above 0", _KEY)
    return block[0], block[1]
