"""Shapes of scales: the group size that they imply, for a weight before packing."""

from typing import Final

from ckptfix.checkpoint.formats.format import ScaleShape, Shape, is_scalar

_BLOCK_SIZES: Final = (128, 64, 32, 256)


def scalar(weight: Shape, scale: Shape) -> int | None:
    """One value."""
    return 0 if is_scalar(weight, scale) else None


def per_channel(weight: Shape, scale: Shape) -> int | None:
    """One for each output, as `[out]`."""
    return 0 if scale == weight[:-1] else None


def blocks(*, four_dimensional: bool) -> ScaleShape:
    """One for each block of 128 x 128."""

    def fits(weight: Shape, scale: Shape) -> int | None:
        rows, columns = -(-weight[-2] // 128), -(-weight[-1] // 128)
        if four_dimensional:
            if scale == () and rows == columns == 1:
                return 128
            return 128 if scale == (*weight[:-2], rows, 1, columns, 1) else None
        return 128 if scale == (*weight[:-2], rows, columns) else None

    return fits


def groups(size: int | None = None) -> ScaleShape:
    """Groups of `size` input columns; None accepts any size that divides the input."""

    def fits(weight: Shape, scale: Shape) -> int | None:
        if len(scale) != len(weight) or scale[:-1] != weight[:-1] or not scale[-1]:
            return None
        group, rest = divmod(weight[-1], scale[-1])
        return group if rest == 0 and group > 1 and size in (None, group) else None

    return fits


def bank_groups(weight: Shape, scale: Shape) -> int | None:
    """Groups of 16 input columns of a bank of experts, in rows: `[experts, in / 16, out]`."""
    wanted = (*weight[:-2], weight[-1] // 16, weight[-2])
    return 16 if len(weight) == 3 and weight[-1] % 16 == 0 and scale == wanted else None


def column(weight: Shape, scale: Shape) -> int | None:
    """One for each output, as a column `[out, 1]`."""
    return 0 if scale == (*weight[:-1], 1) else None


def rows(weight: Shape, scale: Shape) -> int | None:
    """One for each output, as `[out]` or `[out, 1]`."""
    return 0 if scale in (weight[:-1], (*weight[:-1], 1)) else None


def row_groups(weight: Shape, scale: Shape) -> int | None:
    """Groups of input columns in rows: `[in / group, out]`; a single group counts too."""
    if len(scale) != 2 or len(weight) != 2 or scale[1] != weight[0] or not scale[0]:
        return None
    group, rest = divmod(weight[1], scale[0])
    return group if rest == 0 and group > 1 else None


def any_blocks(weight: Shape, scale: Shape) -> int | None:
    """Square blocks, 128 x 128 before others; that of one may have no dimensions."""
    if scale == ():
        return 128 if weight[-2] <= 128 and weight[-1] <= 128 else None
    for size in _BLOCK_SIZES:
        if scale == (*weight[:-2], -(-weight[-2] // size), -(-weight[-1] // size)):
            return size
    return None


def flat_groups(weight: Shape, scale: Shape) -> int | None:
    """Groups of the values of a weight that was flattened."""
    if len(scale) != 1 or not scale[0]:
        return None
    return -(-weight[0] // scale[0])
