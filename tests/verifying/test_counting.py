"""What is counted without decoding, next to the same numbers from decoded values."""

from collections.abc import Sequence
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from ckptfix.checkpoint.numbers import WeightNumbers
from ckptfix.verifying import cores, sixteens
from ckptfix.verifying.dequantize.registry import dequantizer
from ckptfix.verifying.measure import measure
from ckptfix.verifying.stored import StoredWeight
from tests.verifying.modules import format_row

ROWS, COLUMNS = 96, 512


def fp4(quant_algo: str, group: int, change: str) -> StoredWeight:
    """Random codes, and scales that go with them."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (ROWS, COLUMNS // 2), dtype=torch.uint8, generator=generator)
    codes[::7] &= 0x99  # smaller ones: 0, 0.5 and their negatives
    if change == "no sixes":
        codes &= 0xEE
    if change == "blocks of zeros":
        codes[5, :64] = 0x08
    scales = torch.randint(40, 90, (ROWS, COLUMNS // group), dtype=torch.uint8, generator=generator)
    if change == "scales of zero":
        scales[3] = 0
    tensors: dict[str, Tensor] = {"weight": codes, "weight_scale": scales}
    if quant_algo == "NVFP4":
        tensors["weight_scale"] = scales.view(torch.float8_e4m3fn)
        tensors["weight_scale_2"] = torch.tensor(0.25)
    return StoredWeight("proj", format_row(quant_algo), (ROWS, COLUMNS), tensors)


def decoded(stored: StoredWeight) -> tuple[int, int, float, float]:
    """Zeros, codes at the limit, the largest scale times the largest code, and the pairing."""
    codes = dequantizer(stored.format).codes(stored)
    scales = dequantizer(stored.format).scales(stored).values.double()
    largest = float(scales.max() * codes.abs().max())
    squares = codes.double().reshape(*scales.shape, -1).square().mean(-1)
    counted = (scales > 0) & (squares > 0)
    x, y = scales[counted].log(), 0.5 * squares[counted].log()
    power = float(torch.corrcoef(torch.stack((x, y)))[0, 1]) * x.numel() ** 0.5
    return int((codes == 0).sum()), int((codes.abs() == 6).sum()), largest, power


def numbers_of(stored: StoredWeight) -> WeightNumbers:
    (numbers,) = measure([stored])
    assert numbers.weight is not None
    return numbers.weight


@pytest.mark.parametrize("change", ["", "no sixes", "blocks of zeros", "scales of zero"])
@pytest.mark.parametrize(("quant_algo", "group"), [("NVFP4", 16), ("MXFP4", 32)])
def test_fp4_is_counted_as_its_decoded_values_would_be(
    quant_algo: str, group: int, change: str
) -> None:
    stored = fp4(quant_algo, group, change)
    # Many parts, the last one shorter, on all cores.
    with patch.object(sixteens, "_CPU_VALUES", 10 * 32):
        weight = numbers_of(stored)
    zeros, at_limit, largest, pairing = decoded(stored)
    assert (weight.zeros, weight.at_limit, weight.not_a_number) == (zeros, at_limit, 0)
    assert weight.largest == pytest.approx(largest)
    assert weight.pairing == pytest.approx(pairing, rel=1e-6)
    assert weight.blocks == ROWS * COLUMNS // group


def test_torch_starts_no_threads_below_those_that_count() -> None:
    """Each core would have as many as there are cores, which takes twice the CPU time."""

    def threads(_: Sequence[int]) -> int:
        torch.rand(1 << 18).double().sum()  # a thread learns their number at its first work
        return torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with patch.object(cores, "_cores", cores._cores.__wrapped__):
            assert cores.each_run(threads, [1, 2, 3]) == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
