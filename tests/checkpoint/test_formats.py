"""Stored formats from dtypes, shapes and companions alone."""

from math import prod
from typing import Any

import pytest

from ckptfix.checkpoint.formats.format import Format
from ckptfix.checkpoint.formats.stored import stored_format
from ckptfix.checkpoint.formats.table import FORMATS
from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Tensor
from tests.conftest import FIXTURE_NAMES, FIXTURES, load

OUT, IN = 256, 384
SCALAR: tuple[str, tuple[int, ...]] = ("F32", ())
PQS = ("BF16", (IN,))
FP8_WEIGHT = ("F8_E4M3", (OUT, IN))
FP4_WEIGHT = ("U8", (OUT, IN // 2))
INT4_WEIGHT = ("U8", (OUT // 2, IN))
NVFP4: dict[str, Any] = {
    "weight": FP4_WEIGHT,
    "weight_scale": ("F8_E4M3", (OUT, IN // 16)),
    "weight_scale_2": SCALAR,
    "input_scale": SCALAR,
}
LORA = {
    "weight_quantizer._svdquant_lora_a": ("BF16", (8, IN)),
    "weight_quantizer._svdquant_lora_b": ("BF16", (OUT, 8)),
}

BF16_SCALAR: tuple[str, tuple[int, ...]] = ("BF16", (1,))
NF4: dict[str, Any] = {
    "weight": ("U8", (OUT * IN // 2, 1)),
    "weight.absmax": ("F32", (OUT * IN // 64,)),
    "weight.quant_map": ("F32", (16,)),
}


def _gptq(bits: int, group: int, **others: Any) -> dict[str, Any]:
    return {
        "qweight": ("I32", (IN * bits // 32, OUT)),
        "qzeros": ("I32", (IN // group, OUT * bits // 32)),
        "scales": ("F16", (IN // group, OUT)),
        **others,
    }


def _ct(bits: int, columns: int, **others: Any) -> dict[str, Any]:
    return {
        "weight_packed": ("I32", (OUT, IN * bits // 32)),
        "weight_scale": ("BF16", (OUT, columns)),
        "weight_shape": ("I64", (2,)),
        **others,
    }


# What other quantizers store: algo, group size, companions (see formats/other_rows.py).
OTHER_CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("FP8_TENSOR", 0, {"weight": FP8_WEIGHT, "weight_scale": BF16_SCALAR}),
    ("FP8_CHANNEL", 0, {"weight": FP8_WEIGHT, "weight_scale": ("BF16", (OUT, 1))}),
    (
        "FP8_CHANNEL",
        0,
        {"weight": FP8_WEIGHT, "weight_scale": ("BF16", (OUT,)), "input_scale": BF16_SCALAR},
    ),
    ("FP8_BLOCK", 128, {"weight": FP8_WEIGHT, "weight_scale": ("BF16", (2, 3))}),
    ("FP8_BLOCK_INV", 128, {"weight": FP8_WEIGHT, "weight_scale_inv": ("F32", (2, 3))}),
    ("FP8_BLOCK_INV", 64, {"weight": FP8_WEIGHT, "weight_scale_inv": ("F32", (4, 6))}),
    (
        "INT8_TENSOR",
        0,
        {"weight": ("I8", (OUT, IN)), "weight_scale": SCALAR, "input_scale": SCALAR}
        | {"weight_zero_point": ("I8", ()), "input_zero_point": ("I8", ())},
    ),
    ("INT8_CHANNEL", 0, {"weight": ("I8", (OUT, IN)), "weight_scale": ("BF16", (OUT, 1))}),
    ("INT4_BYTES", 128, {"weight": ("I8", (OUT, IN)), "weight_scale": ("BF16", (OUT, 3))}),
    ("INT4_PACKED", 128, _ct(4, 3)),
    ("INT4_PACKED", 32, _ct(4, 12, weight_zero_point=("I32", (OUT // 8, 12)))),
    ("INT4_PACKED", 0, _ct(4, 1)),
    ("INT8_PACKED", 128, _ct(8, 3, weight_g_idx=("I32", (IN,)))),
    (
        "NVFP4_PACKED",
        16,
        {"weight_packed": FP4_WEIGHT, "weight_scale": ("F8_E4M3", (OUT, IN // 16))}
        | {"weight_global_scale": ("F32", (1,)), "input_global_scale": ("F32", (1,))},
    ),
    ("MXFP4_PACKED", 32, {"weight_packed": FP4_WEIGHT, "weight_scale": ("U8", (OUT, IN // 32))}),
    ("GPTQ_INT4", 128, _gptq(4, 128)),
    ("GPTQ_INT8", 32, _gptq(8, 32, g_idx=("I32", (IN,)))),
    ("GPTQ_INT2", 64, _gptq(2, 64)),
    ("GPTQ_INT3", 64, _gptq(3, 64)),
    (
        "AWQ_INT4",
        64,
        {"qweight": ("I32", (IN, OUT // 8)), "qzeros": ("I32", (IN // 64, OUT // 8))}
        | {"scales": ("F16", (IN // 64, OUT))},
    ),
    (
        "QUARK_INT4",
        64,
        {"weight": ("I32", (IN, OUT // 8)), "weight_zero_point": ("I32", (IN // 64, OUT // 8))}
        | {"weight_scale": ("BF16", (IN // 64, OUT))},
    ),
    ("BNB_NF4", 64, NF4 | {"weight.quant_state.bitsandbytes__nf4": ("U8", (170,))}),
    ("BNB_FP4", 64, NF4 | {"weight.quant_state.bitsandbytes__fp4": ("U8", (170,))}),
    (
        "BNB_INT8",
        0,
        {"weight": ("I8", (OUT, IN)), "SCB": ("F32", (OUT,)), "weight_format": ("U8", ())},
    ),
    *(
        (
            f"MLX_INT{bits}",
            group,
            {"weight": ("U32", (OUT, IN * bits // 32)), "biases": ("BF16", (OUT, IN // group))}
            | {"scales": ("BF16", (OUT, IN // group))},
        )
        for bits, group in ((4, 64), (2, 128), (3, 128), (5, 64), (6, 64))
    ),
    (
        "MLX_MXFP4",
        32,
        {"weight": ("U32", (OUT, IN // 8)), "scales": ("U8", (OUT, IN // 32))},
    ),
    (
        "MLX_NVFP4",
        16,
        {"weight": ("U32", (OUT, IN // 8)), "scales": ("U8", (OUT, IN // 16))},
    ),
    (
        "MLX_MXFP8",
        32,
        {"weight": ("U32", (OUT, IN // 4)), "scales": ("U8", (OUT, IN // 32))},
    ),
    (
        "MLX_INT8",
        32,
        {"weight": ("U32", (OUT, IN // 4)), "biases": ("BF16", (OUT, IN // 32))}
        | {"scales": ("BF16", (OUT, IN // 32))},
    ),
    (
        "MXFP4_BLOCKS",
        32,
        {"blocks": ("U8", (OUT, IN // 32, 16)), "scales": ("U8", (OUT, IN // 32))},
    ),
]

# The table of nvidia-modelopt 0.47.0's exporter: algo, group size, companions.
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("FP8", 0, {"weight": FP8_WEIGHT, "weight_scale": SCALAR, "input_scale": SCALAR}),
    ("FP8", 0, {"weight": FP8_WEIGHT, "weight_scale": SCALAR}),
    ("FP8_PER_CHANNEL_PER_TOKEN", 0, {"weight": FP8_WEIGHT, "weight_scale": ("F32", (OUT,))}),
    ("fp8_pb_wo", 128, {"weight": FP8_WEIGHT, "weight_scale": ("F32", (2, 1, 3, 1))}),
    ("fp8_pb_real", 128, {"weight": FP8_WEIGHT, "weight_scale": ("F32", (2, 3))}),
    ("NVFP4", 16, NVFP4),
    ("NVFP4", 16, NVFP4 | {"weight_scale_2": ("F32", (1,))}),
    ("NVFP4_AWQ", 16, NVFP4 | {"pre_quant_scale": PQS}),
    ("NVFP4_AWQ", 16, NVFP4),
    ("NVFP4_SVD", 16, NVFP4 | LORA | {"pre_quant_scale": PQS}),
    ("W4A16_NVFP4", 16, {k: v for k, v in NVFP4.items() if k != "input_scale"}),
    ("W4A8_NVFP4_FP8", 32, NVFP4 | {"weight_scale": ("F8_E4M3", (OUT, IN // 32))}),
    ("W4A8_MXFP4_FP8", 32, {"weight": FP4_WEIGHT, "weight_scale": ("U8", (OUT, IN // 32))}),
    ("mxfp4", 32, {"weight": FP4_WEIGHT, "weight_scale": ("U8", (OUT, IN // 32))}),
    ("MXFP8", 32, {"weight": FP8_WEIGHT, "weight_scale": ("U8", (OUT, IN // 32))}),
    ("W4A16_AWQ", 128, {"weight": INT4_WEIGHT, "weight_scale": ("F32", (OUT, IN // 128))}),
    ("W4A16_AWQ", 64, {"weight": INT4_WEIGHT, "weight_scale": ("F32", (OUT, IN // 64))}),
    (
        "W4A8_AWQ",
        128,
        {"weight": INT4_WEIGHT, "weight_scale": ("F32", (OUT, IN // 128))}
        | {"weight_scale_2": SCALAR, "input_scale": SCALAR, "pre_quant_scale": PQS},
    ),
    ("W8A16", 0, {"weight": ("I8", (OUT, IN)), "weight_scale": ("F32", (OUT,))}),
    *OTHER_CASES,
    (
        "W8A8_SQ_PER_CHANNEL",
        0,
        {"weight": ("I8", (OUT, IN)), "weight_scale": ("F32", (OUT,))}
        | {"input_scale": SCALAR, "pre_quant_scale": PQS},
    ),
]


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
def test_only_formats_that_store_alike_fit_together(algo: str, roles: dict[str, Any]) -> None:
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
