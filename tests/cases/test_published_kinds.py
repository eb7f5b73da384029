"""What published releases taught, as small checkpoints with made-up values.

`make published` makes the releases themselves out of their metadata; this is the kind of each.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import Call, check
from tests.replay import RELEASES, ask, ask_codes

LAYER = "model.layers.0"
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
SIZES = {"num_hidden_layers": 1, "vocab_size": 32, "tie_word_embeddings": False}
FRAME = (
    bf16("model.embed_tokens")
    | bf16("model.norm", 32)
    | bf16("lm_head")
    | bf16(f"{LAYER}.input_layernorm", 32)
    | bf16(f"{LAYER}.post_attention_layernorm", 32)
)


def answers(directory: Path) -> tuple[str, ...]:
    return tuple(got.answer for got in ask(directory, RELEASES).values())


def qwen3() -> Shapes:
    made = dict(FRAME)
    for part in ATTENTION:
        made |= fp8(f"{LAYER}.self_attn.{part}")
    for part in MLP:
        made |= fp8(f"{LAYER}.mlp.{part}")
    for part in ("q_norm", "k_norm"):
        made |= bf16(f"{LAYER}.self_attn.{part}", 32)
    for part in "kv":
        made[f"{LAYER}.self_attn.{part}_proj.{part}_scale"] = ("F32", ())
    return made


def test_metadata_without_quant_method(tmp_path: Path, call: Call) -> None:
    """ModelOpt 0.31 named itself in `producer` only: vLLM ignores that, SGLang does not.

    The scheme of the cache is a string, which SGLang overlooks: it does not need the scales then.
    """
    directory = write_checkpoint(
        tmp_path / "c",
        qwen3(),
        {
            "quant_algo": "FP8",
            "ignore": ["lm_head"],
            "kv_cache_scheme": "FP8",
            "producer": {"name": "modelopt", "version": "0.31.0"},
        },
        architecture="Qwen3ForCausalLM",
        extra_config=SIZES,
    )
    assert answers(directory) == ("no", "yes")
    shown = call("check", directory, "--no-config", "--runtime", "vllm==0.33.0").stdout
    assert f"ckptfix rewrite {directory} --from-tensors --runtime vllm==0.33.0" in shown
    call("rewrite", directory, "--from-tensors", "--runtime", "vllm==0.33.0")
    assert answers(directory) == ("yes", "yes")


LATENT = ("q_a_proj", "kv_a_proj_with_mqa", "q_b_proj", "kv_b_proj")


def deepseek_v3() -> Shapes:
    made = dict(FRAME)
    for part in LATENT:
        made |= bf16(f"{LAYER}.self_attn.{part}")
    for part in ("q_a_layernorm", "kv_a_layernorm"):
        made |= bf16(f"{LAYER}.self_attn.{part}", 32)
    made |= nvfp4(f"{LAYER}.self_attn.o_proj")
    for part in MLP:
        made |= nvfp4(f"{LAYER}.mlp.shared_experts.{part}")
        for number in range(2):
            made |= nvfp4(f"{LAYER}.mlp.experts.{number}.{part}")
    return made | bf16(f"{LAYER}.mlp.gate", 2, 32)


@pytest.mark.parametrize("architecture", ["DeepseekV3ForCausalLM", "GlmMoeDsaForCausalLM"])
def test_latent_attention_that_is_excluded_by_members(tmp_path: Path, architecture: str) -> None:
    """The class adds fused_qkv_a_proj to its packed table while it is built.

    The router and the draft layer are in no list, and nobody asks for them.
    """
    ignore = ["lm_head", *(f"{LAYER}.self_attn.{part}" for part in LATENT), "model.layers.1.*"]
    directory = write_checkpoint(
        tmp_path,
        deepseek_v3(),
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ignore},
        architecture=architecture,
        extra_config=SIZES
        | {"q_lora_rank": 32, "n_routed_experts": 2, "num_nextn_predict_layers": 0},
    )
    assert answers(directory) == ("yes", "yes")
    assert check(directory) == ()
    assert ask_codes(directory) == {}


def nemotron_h() -> Shapes:
    made = bf16("backbone.embeddings") | bf16("backbone.norm_f", 32) | bf16("lm_head")
    for part in ("in_proj", "out_proj"):
        made |= fp8(f"backbone.layers.0.mixer.{part}")
    for part in ("A_log", "D", "dt_bias"):
        made[f"backbone.layers.0.mixer.{part}"] = ("F32", (2,))
    made |= bf16("backbone.layers.0.mixer.conv1d", 32, 1, 4) | bf16(
        "backbone.layers.0.mixer.norm", 32
    )
    for part in ("up_proj", "down_proj"):
        made |= nvfp4(f"backbone.layers.1.mixer.{part}")
    return made | bf16("backbone.layers.0.norm", 32) | bf16("backbone.layers.1.norm", 32)


@pytest.mark.parametrize(("in_config", "sglang"), [(False, "no"), (True, "yes")])
def test_a_mixed_nemotron_whose_config_declares_nothing(
    tmp_path: Path, in_config: bool, sglang: str
) -> None:
    """SGLang looks for quantized_layers in config.json and falls over its absence."""
    entries: dict[str, Any] = mixed(
        {f"backbone.layers.0.mixer.{part}": "FP8" for part in ("in_proj", "out_proj")}
        | {f"backbone.layers.1.mixer.{part}": "NVFP4" for part in ("up_proj", "down_proj")}
    )
    directory = write_checkpoint(
        tmp_path,
        nemotron_h(),
        entries | {"quant_method": "modelopt", "ignore": ["lm_head"]} if in_config else None,
        architecture="NemotronHForCausalLM",
        extra_config=SIZES | {"num_hidden_layers": 2, "layers_block_type": ["mamba", "mlp"]},
    )
    own = {"quantization": entries | {"exclude_modules": ["lm_head"], "kv_cache_quant_algo": None}}
    producer = {"producer": {"name": "modelopt", "version": "0.44.0"}}
    (directory / "hf_quant_config.json").write_text(json.dumps(producer | own))
    assert answers(directory) == ("yes", sglang)


def test_files_that_disagree_on_the_cache(tmp_path: Path, call: Call) -> None:
    """A published release declared FP8 in one file; a rewrite would declare it in both.

    Then SGLang would quantize the cache too, and its Qwen3 has no place for the scales (sglang
    0.5.23: sglang/srt/models/qwen3.py builds RadixAttention without a config).
    """
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    directory = write_checkpoint(
        tmp_path / "c",
        qwen3(),
        quantization,
        architecture="Qwen3ForCausalLM",
        extra_config=SIZES,
    )
    own = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    (directory / "hf_quant_config.json").write_text(json.dumps({"quantization": own}))
    assert ask_codes(directory) == {"CKF401": 1}
    assert "rewrite" not in call("check", directory, "--no-config").stdout.partition("fix: ")[0]
    refused = call("rewrite", directory, "--from-tensors")
    assert refused.returncode == 1
    assert (
        "would break what sglang 0.5.8 to 0.5.23 build correctly" in refused.stdout + refused.stderr
    )
    assert call("rewrite", directory, "--from-tensors", "--runtime", "vllm>=0.25").returncode == 0
    assert ask_codes(directory) == {"CKF703": 1}
