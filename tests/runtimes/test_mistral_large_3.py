"""Mistral Large 3 in FP8, with the names of DeepSeek and of Mistral's own format.

Every answer was given by the classes of vLLM 0.33.0 too, for the same names in other sizes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from tests.builders import Shapes, fp8, write_checkpoint

LATENT = {
    "q_a_proj": ("wq_a", 64, 64),
    "q_b_proj": ("wq_b", 4 * 48, 64),
    "kv_a_proj_with_mqa": ("wkv_a_with_mqa", 48, 64),
    "kv_b_proj": ("wkv_b", 4 * 64, 32),
    "o_proj": ("wo", 64, 4 * 32),
}
MLP = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
CONFIG: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "moe_intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 2,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_group": 1,
    "topk_group": 1,
    "topk_method": None,
    "kv_lora_rank": 32,
    "q_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "vocab_size": 128,
    "tie_word_embeddings": False,
}
NAMES = {
    "deepseek": ("model.", "lm_head", "self_attn.", "mlp.", "mlp."),
    "mistral": ("", "output", "attention.", "feed_forward.", ""),
}


def tensors(spelling: str) -> Shapes:
    is_own = spelling == "mistral"
    start, head, attention, dense, sparse = NAMES[spelling]

    def either(theirs: str, own: str) -> str:
        return own if is_own else theirs

    def mlp(place: str, inner: int) -> Shapes:
        return {
            name: shape
            for their, own in MLP.items()
            for name, shape in fp8(
                f"{place}{either(their, own)}",
                *((64, inner) if own == "w2" else (inner, 64)),
            ).items()
        }

    made: Shapes = {
        f"{start}{either('embed_tokens', 'tok_embeddings')}.weight": ("BF16", (128, 64)),
        f"{start}norm.weight": ("BF16", (64,)),
        f"{head}.weight": ("BF16", (128, 64)),
    }
    for layer in (f"{start}layers.{number}." for number in range(2)):
        for their, (own, out, columns) in LATENT.items():
            made |= fp8(f"{layer}{attention}{either(their, own)}", out, columns)
        for norm, size in (("q_a", 64), ("kv_a", 32)):
            made[f"{layer}{attention}{norm}_{either('layernorm', 'norm')}.weight"] = (
                "BF16",
                (size,),
            )
        for norm in (
            either("input_layernorm", "attention_norm"),
            either("post_attention_layernorm", "ffn_norm"),
        ):
            made[f"{layer}{norm}.weight"] = ("BF16", (64,))
        if layer.endswith(".0."):
            made |= mlp(f"{layer}{dense}", 128)
            continue
        made[f"{layer}{sparse}gate.weight"] = ("BF16", (2, 64))
        made |= mlp(f"{layer}{sparse}shared_experts.", 96)
        for expert in range(2):
            made |= mlp(f"{layer}{sparse}experts.{expert}.", 96)
    return made


def answer(
    directory: Path, stored: Shapes, ignore: list[str], release: str = "vllm==0.33.0"
) -> str:
    metadata = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ignore}
    write_checkpoint(
        directory,
        stored,
        metadata,
        architecture="MistralLarge3ForCausalLM",
        extra_config=CONFIG,
    )
    [verdict] = ckptfix.check(directory, runtimes=[release]).verdicts
    return str(verdict.loads.answer)


@pytest.mark.parametrize(
    ("spelling", "ignore", "loads"),
    [
        ("deepseek", ["lm_head", "*mlp.gate"], "yes"),
        ("deepseek", ["lm_head"], "yes"),
        ("mistral", ["lm_head", "*.gate"], "yes"),
        ("mistral", ["output", "*.gate"], "no"),
    ],
)
def test_both_spellings_load_and_the_metadata_has_the_names_of_the_runtime(
    spelling: str, ignore: list[str], loads: str, tmp_path: Path
) -> None:
    assert answer(tmp_path, tensors(spelling), ignore) == loads


def lacks(name: str) -> Callable[[Shapes], Shapes]:
    return lambda stored: {key: shape for key, shape in stored.items() if key != name}


def adds(name: str) -> Callable[[Shapes], Shapes]:
    return lambda stored: {**stored, name: ("BF16", (64, 64))}


@pytest.mark.parametrize(
    ("spelling", "change"),
    [
        ("deepseek", lacks("model.layers.1.self_attn.o_proj.weight_scale")),
        ("deepseek", lacks("model.layers.1.post_attention_layernorm.weight")),
        ("mistral", lacks("layers.1.ffn_norm.weight")),
        ("deepseek", adds("model.layers.1.self_attn.extra.weight")),
        ("mistral", adds("layers.1.attention.extra.weight")),
    ],
)
def test_a_tensor_more_or_less_is_seen_in_both(
    spelling: str, change: Callable[[Shapes], Shapes], tmp_path: Path
) -> None:
    assert answer(tmp_path, change(tensors(spelling)), ["lm_head", "*.gate"]) == "no"


def test_older_releases_have_another_loader_and_are_unknown(tmp_path: Path) -> None:
    stored = tensors("deepseek")
    assert answer(tmp_path, stored, ["lm_head", "*.gate"], "vllm==0.24.0") == "unknown"
