"""Scales of a KV cache that a release loads, drops or stops at."""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, write_checkpoint
from tests.conftest import load
from tests.runtimes.structure.models import (
    BOTH,
    FP8,
    NVFP4,
    SIZES,
    llama,
    loads,
    qwen_moe,
    reasons_of,
)

KV: Shapes = {"model.layers.0.self_attn.k_proj.k_scale": ("F32", ())}
KV_FP8 = {"type": "float", "num_bits": 8, "dynamic": False}


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("scheme", [None, "FP8", KV_FP8])
def test_scales_of_a_kv_cache_are_loaded_or_not_needed(
    tmp_path: Path, runtime: str, scheme: object
) -> None:
    # SGLang ignores a scheme that is a string: the cache stays in BF16, which needs no scales.
    quantization = FP8 | {"kv_cache_scheme": scheme}
    found = loads(tmp_path, runtime, llama() | KV, quantization=quantization)
    assert found.answer is Answer.YES


def test_another_quantizer_that_declares_no_cache_needs_no_scales_of_one(tmp_path: Path) -> None:
    # Seen with SGLang 0.5.23, whose Qwen2 does not load them either way.
    static = {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]}
    for declared, needed in (({}, False), ({"kv_cache_quant_algo": "FP8"}, True)):
        found = loads(
            tmp_path,
            "sglang",
            llama() | KV,
            architecture="Qwen2ForCausalLM",
            quantization=static | declared,
        )
        assert ("quantizes the KV cache" in reasons_of(found)) == needed


@pytest.mark.parametrize(("runtime", "ignored"), [("vllm", False), ("sglang", True)])
def test_scales_of_a_quantized_cache_that_the_class_does_not_load(
    tmp_path: Path, runtime: str, ignored: bool
) -> None:
    found = loads(
        tmp_path,
        runtime,
        qwen_moe() | KV,
        {"num_hidden_layers": 1, "num_experts": 4},
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4 | {"kv_cache_scheme": KV_FP8},
    )
    assert ("does not load" in reasons_of(found)) == ignored


@pytest.mark.parametrize(
    ("declared", "loads_it"),
    [
        ({}, True),
        ({"kv_cache_scheme": KV_FP8 | {"num_bits": 4}}, True),
        ({"kv_cache_quant_algo": "NVFP4"}, True),
        ({"kv_cache_quant_algo": "auto"}, True),
        ({"kv_cache_quant_algo": "fp8"}, False),
    ],
)
@pytest.mark.parametrize("metadata", [FP8, NVFP4])
def test_only_a_cache_in_fp8_needs_its_scales(
    tmp_path: Path, metadata: dict[str, Any], declared: dict[str, Any], loads_it: bool
) -> None:
    # The cache has the dtype of the model otherwise (sglang 0.5.23, mem_cache/kv_cache_dtype.py).
    found = loads(
        tmp_path,
        "sglang",
        llama() | KV,
        architecture="Qwen2ForCausalLM",
        quantization=metadata | declared,
    )
    assert ("quantizes the KV cache" not in reasons_of(found)) == loads_it


@pytest.mark.parametrize(
    ("architecture", "release", "stops"),
    [
        ("LlamaForCausalLM", "vllm 0.33.0", True),
        ("LlamaForCausalLM", "vllm 0.25.0", True),
        ("LlamaForCausalLM", "vllm 0.24.0", False),
        ("Llama4ForCausalLM", "vllm 0.33.0", False),
        ("LlamaForCausalLM", "sglang 0.5.23", False),
        ("Qwen2_5_VLForConditionalGeneration", "sglang 0.5.23", True),
    ],
)
def test_scales_of_a_kv_cache_where_a_release_has_no_quantization_config(
    tmp_path: Path, architecture: str, release: str, stops: bool
) -> None:
    """Seen with vLLM 0.33.0 and SGLang 0.5.23; the older ones are read in their sources."""
    plain = {n: ("BF16", s) for n, (_, s) in llama().items() if not n.endswith("_scale")}
    config: dict[str, Any] = SIZES | {"text_config": SIZES}
    write_checkpoint(tmp_path, plain | KV, architecture=architecture, extra_config=config)
    runtime, version = release.split()
    found = judge(load(tmp_path), Target(runtime, version, version)).loads
    assert (
        "it has no parameter for model.layers.0.self_attn.k_proj.k_scale" in reasons_of(found)
    ) == (stops)
