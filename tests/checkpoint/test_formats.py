"""Stored formats from dtypes, shapes and companions alone."""

from math import prod
from typing import Any

import pytest

from ckptfix.checkpoint.formats.format import Format
from ckptfix.checkpoint.formats.stored import stored_format
from ckptfix.checkpoint.formats.table import FORMATS
from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Tensor
from tests.checkpoint.format_cases import CASES, FP8_WEIGHT, IN, NVFP4, OUT, SCALAR
from tests.conftest import FIXTURE_NAMES, FIXTURES, load


def fmt(roles: dict[str, Any]):
    tensors = {f"m.{role}": Tensor(dtype, shape, 0) for role, (dtype, shape) in roles.items()}
    modules = group_modules(tensors)
    assert list(modules) == ["m"]
    return stored_format(modules["m"])


@pytest.mark.parametrize(("algo", "group_size", "roles"), CASES)
def test_every_row_of_the_table_is_recognized(
    algo: str, group_size: int, roles: dict[str, Any]
) -> None:
    fit = fmt(roles).fit(algo)
    assert fit is not None
    assert fit.group_size == group_size
    assert prod(fit.logical_shape) == OUT * IN


def test_every_row_has_a_case() -> None:
    assert {algo for algo, _, _ in CASES} == {row.quant_algo for row in FORMATS}


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.quant_algo)
def test_a_row_needs_what_its_parts_read(row: Format) -> None:
    assert ("weight_scale_2" in row.needs) == bool(row.second_level)
    assert row.scales.shared != "weight_scale_2" or "weight_scale_2" in row.needs
    assert not row.inputs.static or "input_scale" in row.needs + row.may_have
    assert bool(row.smoothing) == ("pre_quant_scale" in row.needs + row.may_have)


ALIKE = [
    {"NVFP4", "NVFP4_AWQ"},  # AWQ folds pre_quant_scale away where it can
    {"W4A8_MXFP4_FP8", "mxfp4"},  # dynamic activations leave no tensor
    # ModelOpt's scales are F32, those of others in the dtype of the model, which may be F32 too.
    {"FP8", "FP8_TENSOR"},
    # Groups of 4 g in 2 bits, of 2 g in 4, or of g in 8: the metadata tell.
    {"MLX_INT2", "MLX_INT4", "MLX_INT8"},
    {"MLX_INT3", "MLX_INT6"},
    {"FP8_PER_CHANNEL_PER_TOKEN", "FP8_CHANNEL"},
    {"fp8_pb_real", "FP8_BLOCK"},
    {"W8A16", "INT8_CHANNEL"},
    {"INT8_CHANNEL", "INT4_BYTES"},  # codes of 4 bits in bytes, in one group or more
    {"INT4_PACKED", "INT8_PACKED"},  # weight_shape holds the shape, the header does not
]


@pytest.mark.parametrize(("algo", "roles"), [(algo, roles) for algo, _, roles in CASES])
def test_only_formats_that_are_stored_the_same_way_fit_together(
    algo: str, roles: dict[str, Any]
) -> None:
    fits = {fit.quant_algo for fit in fmt(roles).fits}
    assert fits == {algo} or fits in ALIKE


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_a_global_scale_may_be_another_float(dtype: str) -> None:
    """Both runtimes convert it while they load, as their own loaders show."""
    other = (dtype, ())
    fp8 = {"weight": FP8_WEIGHT, "weight_scale": SCALAR}
    assert "FP8" in {fit.quant_algo for fit in fmt(fp8 | {"input_scale": other}).fits}
    assert "FP8" in {fit.quant_algo for fit in fmt(fp8 | {"weight_scale": other}).fits}
    for role in ("input_scale", "weight_scale_2"):
        assert "NVFP4" in {fit.quant_algo for fit in fmt(NVFP4 | {role: other}).fits}


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"weight": FP8_WEIGHT}, "has no weight_scale"),
        ({"weight": FP8_WEIGHT, "weight_scale_inv": ("F32", (2, 4))}, "weight_scale_inv"),
        ({"qweight": ("I32", (4, 8))}, "has no weight_scale"),
        ({"weight_scale": SCALAR}, "weight_scale without a weight"),
        ({"weight": ("F8_E4M3", (OUT,)), "weight_scale": SCALAR}, "1-D weight"),
        ({"weight": ("BF16", (OUT, IN)), "weight_scale": SCALAR}, "no known format has"),
        (
            {k: v for k, v in NVFP4.items() if k != "weight_scale_2"},
            "weight_scale_2 is missing",
        ),
        (NVFP4 | {"weight_scale": ("F8_E4M3", (OUT, IN // 64))}, "fits none of NVFP4"),
        (NVFP4 | {"input_scale": ("F32", (7,))}, "input_scale is F32 [7], expected an F32 scalar"),
        (NVFP4 | {"pre_quant_scale": ("BF16", (5,))}, "pre_quant_scale is [5], expected [384]"),
        (NVFP4 | {"svdquant_lora_a": ("BF16", (8, IN))}, "svdquant_lora_a is not expected"),
        ({"weight": FP8_WEIGHT, "weight_scale": ("F32", (3, 2))}, "fits none of FP8"),
    ],
)
def test_tensors_that_fit_no_format_are_distinguished(roles: dict[str, Any], message: str) -> None:
    stored = fmt(roles)
    assert stored.is_quantized
    assert not stored.fits
    assert message in stored.problem


@pytest.mark.parametrize(
    "roles",
    [
        {"weight": ("BF16", (OUT, IN))},
        {"weight": ("BF16", (OUT, IN)), "k_scale": SCALAR, "bias": ("BF16", (OUT,))},
        {"weight": ("F32", (OUT,))},
        {"num_batches_tracked": ("I64", ())},
        {"A_log": ("F32", (4,))},
    ],
)
def test_unquantized(roles: dict[str, Any]) -> None:
    stored = fmt(roles)
    assert not stored.is_quantized
    assert stored.label("FP8") == "unquantized"


def test_stacked_experts_are_recognized_by_their_companions() -> None:
    # Llama 4 and GPT-OSS: 3-D parameters without `.weight` (modelopt 0.47.0, unified_export_hf.py).
    tensors = {
        "m.experts.gate_up_proj": Tensor("F8_E4M3", (4, 64, 32), 0),
        "m.experts.gate_up_proj_weight_scale": Tensor("F32", (4,), 0),
        "m.experts.gate_up_proj_input_scale": Tensor("F32", (), 0),
    }
    modules = group_modules(tensors)
    assert list(modules) == ["m.experts.gate_up_proj"]
    assert stored_format(modules["m.experts.gate_up_proj"]).fit("FP8") is not None


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_real_exports_store_what_their_metadata_declares(name: str) -> None:
    """Independent of the rules: compare with quantized_layers or the uniform algo, by hand."""
    checkpoint = load(FIXTURES / name)
    entries = {
        s.name.split(".\0")[0]: s.quant_algo
        for metadata in checkpoint.metadata
        for s in metadata.of_kind("entry")
    }
    uniform = next((m.quant_algo for m in checkpoint.metadata if not m.is_mixed), None)
    quantized = 0
    for module, stored in checkpoint.formats.items():
        assert not stored.problem
        if not stored.is_quantized:
            continue
        quantized += 1
        # Native nemotron_h stores `backbone.embedding` and names `backbone.embeddings`.
        name_parts = (module + "s" if module.endswith(".embedding") else module).split(".")
        declared = uniform
        for end in range(len(name_parts), 0, -1):
            declared = entries.get(".".join(name_parts[:end]), declared)
            if ".".join(name_parts[:end]) in entries:
                break
        assert declared is not None
        assert stored.fit(declared) is not None, (module, declared, stored)
    assert quantized or name == "llama-kv8-only"


@pytest.mark.parametrize("scales", [(), (3,)])
def test_scales_without_two_dimensions_fit_no_format_with_zero_points(
    scales: tuple[int, ...],
) -> None:
    zeros = ("I32", (3, OUT // 8))
    roles = {"qweight": ("I32", (IN // 8, OUT)), "qzeros": zeros, "scales": ("F16", scales)}
    assert not fmt(roles).fits
    assert fmt(roles).problem
