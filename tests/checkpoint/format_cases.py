"""A module for each row of the table of stored formats: algo, group size, roles."""

from typing import Any

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
    ("FP8_TENSOR_INV", 0, {"weight": FP8_WEIGHT, "weight_scale_inv": BF16_SCALAR}),
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
    (
        "NVFP4_PACKED",
        16,
        {"weight_packed": FP4_WEIGHT, "weight_scale": ("F8_E4M3", (OUT, IN // 16))}
        | {"weight_global_scale": ("F64", (1,)), "input_global_scale": ("BF16", (1,))},
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
    *(
        ("FP8", 0, {"weight": FP8_WEIGHT, "weight_scale": (x, ())})
        for x in ("F64", "I8", "F8_E4M3")
    ),
    ("NVFP4", 16, NVFP4 | {"weight_scale_2": ("F64", ()), "input_scale": ("F8_E4M3", (1,))}),
    ("FP8_PER_CHANNEL_PER_TOKEN", 0, {"weight": FP8_WEIGHT, "weight_scale": ("F32", (OUT,))}),
    *(
        (algo, 0, {"weight": FP8_WEIGHT, "weight_scale": (dtype, (OUT,))})
        for algo in ("FP8_PER_CHANNEL_PER_TOKEN", "FP8_CHANNEL")
        for dtype in ("BF16", "F8_E4M3")
    ),
    ("fp8_pb_wo", 128, {"weight": FP8_WEIGHT, "weight_scale": ("F32", (2, 1, 3, 1))}),
    ("fp8_pb_real", 128, {"weight": FP8_WEIGHT, "weight_scale": ("F32", (2, 3))}),
    ("NVFP4", 16, NVFP4),
    (
        "NVFP4",
        16,
        NVFP4
        | {"weight": ("U8", (1, IN // 2, OUT)), "weight_scale": ("F8_E4M3", (1, IN // 16, OUT))},
    ),
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
