"""Every format decodes to the numbers that its specification gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ckptfix.checkpoint.formats.mlx_rows import MLX_FORMATS
from ckptfix.checkpoint.formats.native_rows import NATIVE_FORMATS
from ckptfix.checkpoint.formats.other_rows import OTHER_FORMATS
from ckptfix.checkpoint.formats.table import FORMATS
from ckptfix.verifying.backends.torch_gemm import GEMMS
from ckptfix.verifying.dequantize import activations, fp4, fp8
from ckptfix.verifying.dequantize.mxfp import e8m0
from ckptfix.verifying.dequantize.registry import dequantize, in_chunks, missing_decoder
from ckptfix.verifying.stored import StoredWeight, unstacked
from tests.conftest import DATA
from tests.verifying import slow_reference
from tests.verifying.modules import format_row, stored_weights

FIXTURES = [
    "llama-fp8-kv8",
    "llama-fp8-pc-pt",
    "llama-int8-sq",
    "llama-int8-wo",
    "llama-mxfp8",
    "llama-nvfp4-awq",
    "llama-nvfp4-svd",
    "llama-w4a16-nvfp4",
    "llama-w4a8-mxfp4-fp8",
    "llama-w4a8-nvfp4-fp8",
    "llama128-fp8-pb-wo",
    "llama128-int4-awq",
    "llama128-w4a8-awq",
    "llama256-fp8-pb-real",
]


def test_every_format_of_modelopt_has_a_decoder_and_every_gemm_a_call() -> None:
    others = (*OTHER_FORMATS, *NATIVE_FORMATS, *MLX_FORMATS)
    exported = [format_ for format_ in FORMATS if format_ not in others]
    assert {format_.quant_algo: missing_decoder(format_) for format_ in exported} == dict.fromkeys(
        (format_.quant_algo for format_ in exported), ""
    )
    assert {format_.gemm.recipe for format_ in FORMATS if format_.gemm} == set(GEMMS)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_weight_equals_that_of_a_second_decoder(fixture: str) -> None:
    tensors = slow_reference.read(DATA / fixture / "model.safetensors")
    smallest = min(stored_weights(DATA / fixture), key=lambda stored: np.prod(stored.shape))
    expected = slow_reference.weight(tensors, smallest.name)
    np.testing.assert_allclose(dequantize(smallest).double().numpy(), expected, rtol=3e-7, atol=0)


def test_every_byte_of_fp8_fp4_and_e8m0_is_decoded_exactly() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    e4m3 = every.view(torch.float8_e4m3fn).float()
    expected = torch.tensor([slow_reference.e4m3(byte) for byte in range(256)])
    assert torch.equal(e4m3.isnan(), expected.isnan())
    assert torch.equal(e4m3.nan_to_num(), expected.nan_to_num())
    pairs = [(slow_reference.e2m1(b & 15), slow_reference.e2m1(b >> 4)) for b in range(256)]
    unpacked = fp4.unpack(every[:, None])
    assert torch.equal(unpacked, torch.tensor(pairs))
    assert torch.equal(fp4.pack(unpacked), every[:, None])
    assert torch.equal(
        e8m0(every)[:255], torch.tensor([2.0 ** (b - 127) for b in range(255)], dtype=torch.float32)
    )
    assert e8m0(every)[255].isnan()


def test_rounding_to_fp4_takes_the_nearest_and_the_even_code_in_the_middle() -> None:
    values = torch.cat([torch.linspace(-7, 7, 2801), torch.tensor([0.25, 0.75, 2.5, 3.5, 5.0])])
    grid = torch.tensor([slow_reference.e2m1(code) for code in range(16)])
    rounded = fp4.to_e2m1(values)
    nearest = (values[:, None] - grid).abs().amin(1)
    assert torch.equal((rounded - values).abs(), nearest)
    ties = {0.25: 0.0, 0.75: 1.0, 1.25: 1.0, 1.75: 2.0, 2.5: 2.0, 3.5: 4.0, 5.0: 4.0}
    assert fp4.to_e2m1(torch.tensor(list(ties))).tolist() == list(ties.values())


@pytest.mark.parametrize(
    "fixture", ["llama128-int4-awq", "llama256-fp8-pb-real", "llama-nvfp4-svd"]
)
def test_chunks_of_rows_make_up_the_whole(fixture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptfix.verifying.dequantize.registry.CHUNK_VALUES", 1)
    for stored in stored_weights(DATA / fixture):
        chunks = [dequantize(chunk) for _, chunk in in_chunks(stored)]
        assert len(chunks) == -(-stored.shape[0] // 128)
        assert torch.equal(torch.cat(chunks), dequantize(stored))


def test_a_stacked_bank_is_decoded_expert_by_expert() -> None:
    weights = torch.randn(3, 8, 16).to(torch.float8_e4m3fn)
    scales = torch.tensor([1.0, 2.0, 4.0])
    bank = StoredWeight(
        "experts.up_proj", format_row("FP8"), (8, 16), {"weight": weights, "weight_scale": scales}
    )
    experts = unstacked(bank, 3)
    assert [expert.name for expert in experts] == [f"experts.up_proj[{i}]" for i in range(3)]
    for expert, weight, scale in zip(experts, weights, scales, strict=True):
        assert torch.equal(dequantize(expert), weight.float() * scale)


INPUT = torch.randn(16, 256, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("quantize", "scale", "error"),
    [
        (activations.unquantized, None, 0.0),
        (activations.fp8_per_tensor, 1 / 448, 0.04),
        (activations.fp8_per_tensor_or_dynamic, 0, 0.03),
        (activations.fp8_per_token, 0, 0.03),
        (activations.fp8_per_group, 0, 0.03),
        (activations.mxfp8, 0, 0.03),
        (activations.nvfp4, 1 / 2688, 0.11),
        (activations.int8_per_tensor, 1 / 127, 0.02),
    ],
)
def test_quantized_activations_are_near_the_input(
    quantize: activations.QuantizeActivations, scale: float | None, error: float
) -> None:
    static = INPUT.abs().max() * scale if scale else None
    made = quantize(INPUT, static)
    relative = (made.dequantized - INPUT).norm() / INPUT.norm()
    assert relative <= error
    if error:
        assert relative > error / 4
        assert made.codes is not None


def test_values_beyond_fp8_saturate() -> None:
    assert fp8.to_e4m3(torch.tensor([1e9, -1e9])).float().tolist() == [448.0, -448.0]


def test_the_slow_reader_reads_what_is_there() -> None:
    path = Path(DATA / "llama-fp8-kv8" / "model.safetensors")
    assert any(dtype == "F8_E4M3" for dtype, _ in slow_reference.read(path).values())
