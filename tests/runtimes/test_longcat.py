"""LongCat Flash: the loaders of vLLM 0.33.0 and SGLang 0.5.23 did what is said of each of these."""

from pathlib import Path

import pytest

from tests.builders import Linear, Shapes, bf16, fp8, nvfp4, write_checkpoint
from tests.replay import RELEASES, ask

RELEASE = "sglang==0.5.23"
WIDTH, HEADS, EXPERTS, ZERO = 512, 8, 4, 2
QUERY_RANK, CACHE_RANK, PLAIN, ROTARY, VALUE = 256, 128, 128, 64, 128
INNER, EXPERT_INNER = 1024, 256
ATTENTION = {
    "q_a_proj": (QUERY_RANK, WIDTH),
    "q_b_proj": (HEADS * (PLAIN + ROTARY), QUERY_RANK),
    "kv_a_proj_with_mqa": (CACHE_RANK + ROTARY, WIDTH),
    "kv_b_proj": (HEADS * (PLAIN + VALUE), CACHE_RANK),
    "o_proj": (WIDTH, HEADS * VALUE),
}
CONFIG = {
    "model_type": "longcat_flash",
    "hidden_size": WIDTH,
    "num_layers": 2,
    "num_hidden_layers": 2,
    "ffn_hidden_size": INNER,
    "expert_ffn_hidden_size": EXPERT_INNER,
    "n_routed_experts": EXPERTS,
    "zero_expert_num": ZERO,
    "zero_expert_type": "identity",
    "moe_topk": 2,
    "num_attention_heads": HEADS,
    "q_lora_rank": QUERY_RANK,
    "kv_lora_rank": CACHE_RANK,
    "qk_nope_head_dim": PLAIN,
    "qk_rope_head_dim": ROTARY,
    "v_head_dim": VALUE,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e7,
    "attention_bias": False,
    "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True,
    "routed_scaling_factor": 6.0,
    "tie_word_embeddings": False,
    "rope_scaling": {"rope_type": "default"},
}


def plain(module: str, out: int, columns: int) -> Shapes:
    return bf16(module, out, columns)


def _mlp(at: str, inner: int, linear: Linear) -> Shapes:
    return (
        linear(f"{at}.gate_proj", inner, WIDTH)
        | linear(f"{at}.up_proj", inner, WIDTH)
        | linear(f"{at}.down_proj", WIDTH, inner)
    )


def _layer(at: str, attention: Linear, mlp: Linear, expert: Linear) -> Shapes:
    out: Shapes = {}
    for half in range(2):
        for part, size in ATTENTION.items():
            out |= attention(f"{at}.self_attn.{half}.{part}", *size)
        out |= bf16(f"{at}.self_attn.{half}.q_a_layernorm", QUERY_RANK)
        out |= bf16(f"{at}.self_attn.{half}.kv_a_layernorm", CACHE_RANK)
        out |= bf16(f"{at}.input_layernorm.{half}", WIDTH)
        out |= bf16(f"{at}.post_attention_layernorm.{half}", WIDTH)
        out |= _mlp(f"{at}.mlps.{half}", INNER, mlp)
    out |= bf16(f"{at}.mlp.router.classifier", EXPERTS + ZERO, WIDTH)
    out[f"{at}.mlp.router.e_score_correction_bias"] = ("F32", (EXPERTS + ZERO,))
    for number in range(EXPERTS):
        out |= _mlp(f"{at}.mlp.experts.{number}", EXPERT_INNER, expert)
    return out


def longcat(
    directory: Path, formats: tuple[Linear, Linear, Linear], ignore: str, **changes: object
) -> Path:
    """Attention, dense MLPs and experts in these formats, with `ignore` as exclude patterns."""
    tensors: Shapes = {
        **bf16("model.embed_tokens", 1024, WIDTH),
        **bf16("model.norm", WIDTH),
        **bf16("lm_head", 1024, WIDTH),
    }
    for number in range(2):
        tensors |= _layer(f"model.layers.{number}", *formats)
    algo = {"quant_algo": "NVFP4", "group_size": 16} if nvfp4 in formats else {"quant_algo": "FP8"}
    excluded = ["lm_head", "*router*", *ignore.split()]
    return write_checkpoint(
        directory,
        tensors,
        {"quant_method": "modelopt", "ignore": excluded, **algo},
        architecture="LongcatFlashForCausalLM",
        extra_config={key: v for key, v in {**CONFIG, **changes}.items() if v is not ...},
    )


@pytest.mark.parametrize(
    ("formats", "ignore", "changes", "answer"),
    [
        ((plain, fp8, fp8), "*self_attn*", {}, "yes"),
        ((plain, nvfp4, nvfp4), "*self_attn*", {}, "yes"),
        ((plain, plain, nvfp4), "*self_attn* *mlps*", {}, "yes"),
        ((plain, plain, nvfp4), "*self_attn*", {}, "no"),
        # No published config has the key; the class looks for rope_theta in None without it.
        ((plain, fp8, fp8), "*self_attn*", {"rope_scaling": ...}, "no"),
        ((plain, fp8, fp8), "*self_attn*", {"rope_scaling": None}, "no"),
        # It joins the scales of q_a_proj and kv_a_proj_with_mqa by rows, and they have none.
        ((fp8, fp8, fp8), "", {}, "no"),
        ((nvfp4, nvfp4, nvfp4), "", {}, "no"),
    ],
)
def test_it_is_answered_as_its_class_does(
    formats: tuple[Linear, Linear, Linear],
    ignore: str,
    changes: dict[str, object],
    answer: str,
    tmp_path: Path,
) -> None:
    directory = longcat(tmp_path / "m", formats, ignore, **changes)
    assert ask(directory, (RELEASE,))[RELEASE].answer == answer


@pytest.mark.parametrize(
    ("numbers", "answers"),
    [
        ({"num_hidden_layers": ...}, ("yes", "yes")),
        ({"num_hidden_layers": 4}, ("yes", "no")),  # vLLM's config class halves it
        ({"num_hidden_layers": 2}, ("no", "yes")),
        ({"num_hidden_layers": ..., "num_layers": 3}, ("no", "no")),
    ],
    ids=str,
)
def test_the_number_that_counts_as_that_of_layers(
    numbers: dict[str, object], answers: tuple[str, str], tmp_path: Path
) -> None:
    directory = longcat(tmp_path / "m", (plain, nvfp4, nvfp4), "*self_attn*", **numbers)
    assert tuple(got.answer for got in ask(directory, RELEASES).values()) == answers


@pytest.mark.parametrize(
    ("numbers", "release", "answer"),
    [
        ({"num_hidden_layers": ...}, "vllm==0.32.0", "yes"),
        # Without it, transformers' config class has 56, and the class builds as many.
        ({"num_hidden_layers": ...}, "vllm==0.31.0", "unknown"),
        ({"num_hidden_layers": ...}, "vllm==0.15.0", "unknown"),
        ({"num_hidden_layers": 4}, "vllm==0.31.0", "no"),
    ],
    ids=str,
)
def test_older_releases_take_the_number_of_layers_from_another_key(
    numbers: dict[str, object], release: str, answer: str, tmp_path: Path
) -> None:
    directory = longcat(tmp_path / "m", (plain, nvfp4, nvfp4), "*self_attn*", **numbers)
    assert ask(directory, (release,))[release].answer == answer
