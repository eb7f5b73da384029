"""A layer runs as a runtime would run it and agrees with the reference, or it is reported."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ckptfix.errors import CkptfixError
from ckptfix.verifying.backends.choice import requested_backends
from ckptfix.verifying.backends.needs import why_not
from ckptfix.verifying.backends.swizzle import swizzled
from ckptfix.verifying.backends.torch_gemm import TorchBackend
from ckptfix.verifying.device import Device, open_device
from ckptfix.verifying.gemm import GemmOutcome, run_layer
from ckptfix.verifying.inputs import Input, random_input
from ckptfix.verifying.layer import Layer
from ckptfix.verifying.reference import reference
from ckptfix.verifying.stored import StoredWeight
from tests.conftest import DATA
from tests.verifying import slow_reference
from tests.verifying.modules import format_row, needs_scaled_mm_on_cpu, stored_weights
from tests.verifying.test_dequantize import FIXTURES

CPU = open_device("cpu")
HOPPER = Device(torch.device("cuda"), "H200", (9, 0))
BLACKWELL = Device(torch.device("cuda"), "B200", (10, 0))


def run(layer: Layer, device: Device = CPU) -> GemmOutcome:
    return run_layer(layer, device, requested_backends("torch"), 16)


def layers(fixture: str) -> Iterator[Layer]:
    for stored in stored_weights(DATA / fixture):
        yield Layer(stored.name, (stored,))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_every_format_agrees_with_the_reference_on_a_cpu(fixture: str) -> None:
    for layer in layers(fixture):
        outcome = run(layer)
        assert outcome.how in ("native", "emulated")
        assert outcome.error < 0.005
        assert bool(outcome.reason) == (outcome.how == "emulated")


@pytest.mark.parametrize("fixture", ["llama-nvfp4-svd", "llama128-w4a8-awq", "llama-fp8-pc-pt"])
def test_the_reference_is_the_product_that_a_second_decoder_gives(fixture: str) -> None:
    layer = min(layers(fixture), key=lambda layer: layer.shape[0] * layer.shape[1])
    tensors = slow_reference.read(DATA / fixture / "model.safetensors")
    weight = slow_reference.weight(tensors, layer.name)
    given = random_input(layer, 5)
    expected = given.activations.dequantized.double().numpy() @ weight.T
    if fixture == "llama-nvfp4-svd":
        stem = f"{layer.name}.weight_quantizer._svdquant_lora_"
        down, up = (
            np.array(
                [slow_reference.number(tensors[stem + part][0], e) for e in flat.reshape(-1)]
            ).reshape(flat.shape)
            for part in "ab"
            for flat in [tensors[stem + part][1]]
        )
        expected += given.x.double().numpy() @ (up @ down).T
    made = reference(layer, given).double().numpy()
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@needs_scaled_mm_on_cpu
def test_a_cpu_runs_fp8_and_int8_natively_and_gives_reasons_for_the_rest() -> None:
    outcomes = {fixture: run(next(layers(fixture))) for fixture in FIXTURES}
    assert {fixture for fixture, outcome in outcomes.items() if outcome.how == "native"} == {
        "llama-fp8-kv8",
        "llama-fp8-pc-pt",
        "llama-int8-sq",
    }
    assert outcomes["llama-fp8-kv8"].kernel == "torch scaled_mm TensorWise"
    assert outcomes["llama-nvfp4-awq"].reason == (
        "NVFP4_AWQ needs a GPU with compute capability 10.0, but this is a CPU"
    )
    assert outcomes["llama128-int4-awq"].reason == (
        "torch has no GEMM for INT4 weights with BF16 input"
    )


def test_a_gpu_that_is_too_old_gets_the_reason_and_what_vllm_does() -> None:
    def answer(quant_algo: str, device: Device) -> str:
        gemm = format_row(quant_algo).gemm
        assert gemm is not None
        return why_not(gemm.gpu, quant_algo, device)

    assert answer("NVFP4", HOPPER) == (
        "NVFP4 needs compute capability 10.0, but this GPU has 9.0; vLLM uses Marlin W4A16 here"
    )
    assert answer("NVFP4", BLACKWELL) == ""
    assert answer("fp8_pb_wo", HOPPER) == ""
    assert "this GPU has 10.0" in answer("fp8_pb_wo", BLACKWELL)


def fp8(name: str, scale: float, out: int = 32) -> StoredWeight:
    weight = torch.randn(out, 64, generator=torch.Generator().manual_seed(out))
    weight = weight / weight.abs().max() * 448
    return StoredWeight(
        name,
        format_row("FP8"),
        (out, 64),
        {
            "weight": weight.to(torch.float8_e4m3fn),
            "weight_scale": torch.tensor(scale),
            "input_scale": torch.tensor(0.01),
        },
    )


@needs_scaled_mm_on_cpu
def test_members_of_other_scales_are_requantized_and_the_added_error_is_reported() -> None:
    alike = run(Layer("qkv_proj", (fp8("q", 0.1), fp8("k", 0.1, 16))))
    assert alike.requantized_error is None
    apart = run(Layer("qkv_proj", (fp8("q", 0.1), fp8("k", 0.07, 16))))
    assert apart.how == "native"
    assert apart.requantized_error is not None
    assert 0.001 < apart.requantized_error < 0.03


def test_nvfp4_members_of_other_global_scales_fail_as_they_would_in_vllm() -> None:
    by_name = {stored.name: stored for stored in stored_weights(DATA / "llama-nvfp4-tied")}
    members = [by_name[f"model.layers.0.self_attn.{part}_proj"] for part in "qkv"]
    assert run(Layer("qkv_proj", tuple(members))).how == "emulated"
    members[2] = members[2].with_tensors(weight_scale_2=members[2].scalar("weight_scale_2") / 2)
    failed = run(Layer("qkv_proj", tuple(members)))
    assert failed.how == "failed"
    assert "differs from the reference" in failed.reason


def test_a_scale_that_is_not_a_number_fails() -> None:
    broken = fp8("q", float("nan"))
    assert run(Layer("q", (broken,))).reason == "the result is not finite"


def test_swizzled_scales_are_where_the_tensor_cores_look() -> None:
    rows, groups = 130, 6
    scales = torch.arange(rows * groups).remainder(251).to(torch.uint8).reshape(rows, groups)
    flat = swizzled(scales.view(torch.float8_e4m3fn)).view(torch.uint8)
    tiles_across = 2
    assert flat.numel() == 256 * 8
    for row in range(rows):
        for group in range(groups):
            tile = (row // 128) * tiles_across + group // 4
            inside = (row % 32) * 16 + (row % 128) // 32 * 4 + group % 4
            assert flat[tile * 512 + inside] == scales[row, group]


def on_meta(stored: StoredWeight) -> StoredWeight:
    return stored.with_tensors(**{role: t.to("meta") for role, t in stored.tensors.items()})


@pytest.mark.parametrize(
    ("fixture", "recipe"),
    [
        ("llama-fp8-kv8", "TensorWise"),
        ("llama-fp8-pc-pt", "RowWise"),
        ("llama256-fp8-pb-real", "BlockWise128x128"),
        ("llama-mxfp8", "BlockWise1x32"),
        ("llama-nvfp4-tied", "BlockWise1x16"),
    ],
)
def test_torch_takes_the_arguments_of_every_recipe(fixture: str, recipe: str) -> None:
    """By the checks of torch itself on shapes, dtypes and orders, which need no GPU."""
    layer = next(x for x in layers(fixture) if "256" not in fixture or x.shape == (256, 256))
    given = random_input(layer, 16)
    meta = Layer(layer.name, tuple(map(on_meta, layer.members)))
    made = given.activations
    codes, scales = made.codes, made.scales
    assert codes is not None
    assert scales is not None
    moved = type(made)(made.dequantized.to("meta"), codes.to("meta"), scales.to("meta"))
    output = TorchBackend.run(meta, Input(given.x.to("meta"), moved))
    assert output.shape == (16, layer.shape[0])
    assert TorchBackend.kernel(meta).endswith(recipe)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_cuda
@pytest.mark.parametrize("fixture", FIXTURES)
def test_every_format_agrees_with_the_reference_on_a_gpu(fixture: str) -> None:
    device = open_device("cuda")
    for layer in layers(fixture):
        members = tuple(
            m.with_tensors(**{r: t.to(device.torch_device) for r, t in m.tensors.items()})
            for m in layer.members
        )
        outcome = run(Layer(layer.name, members), device)
        assert outcome.how in ("native", "emulated"), outcome
        assert "refused" not in outcome.reason
        assert outcome.error < 0.005


def test_no_such_device_is_one_sentence() -> None:
    with pytest.raises(CkptfixError, match="write cpu, cuda or cuda:N"):
        open_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(CkptfixError, match=r"`device` cuda:7: .*CUDA"):
            open_device("cuda:7")
