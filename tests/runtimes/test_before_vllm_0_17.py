"""vLLM 0.15.1 and 0.16.0: what they do not read yet, and what nobody read of them."""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.family import builtin_families, family_for, why_unknown
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.targets import Target, parse_target
from ckptfix.runtimes.verdict import judge
from tests.builders import LLAMA_CONFIG, Shapes, bf16, mixed, whole_llama, write_checkpoint
from tests.conftest import FIXTURES, load

OLD = "0.15.1", "0.16.0"
RELEASES = (*OLD, "0.17.1", "0.20.0")


def asked(version: str) -> Target:
    (target,) = parse_target(f"vllm=={version}", {"vllm": known_releases("vllm")})
    return target


def answers(directory: Path) -> dict[str, str]:
    checkpoint = load(directory)
    judged = {v: judge(checkpoint, asked(v)).loads for v in RELEASES}
    return {version: str(loads.answer.value) for version, loads in judged.items()}


@pytest.mark.parametrize(
    ("fixture", "expected"),
    [
        ("llama-fp8-kv8", ("yes", "yes", "yes", "yes")),
        ("llama-fp8-pc-pt", ("yes", "yes", "yes", "yes")),
        ("llama-nvfp4-tied", ("yes", "yes", "yes", "yes")),
        ("llama-mxfp8", ("no", "yes", "yes", "yes")),
        ("nanovl-mixed", ("no", "no", "no", "yes")),
        ("nanovl-fp8", ("unknown", "unknown", "yes", "yes")),
    ],
)
def test_real_exports(fixture: str, expected: tuple[str, ...]) -> None:
    assert tuple(answers(FIXTURES / fixture).values()) == expected


def test_no_layer_of_a_mixed_checkpoint_is_read(tmp_path: Path) -> None:
    parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
    parts += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    layers = {f"model.layers.0.{part}": "FP8" for part in parts}
    for method in ("modelopt", "modelopt_mixed"):
        made = write_checkpoint(
            tmp_path / method,
            whole_llama(),
            mixed(layers, quant_method=method),
            extra_config=LLAMA_CONFIG,
        )
        assert tuple(answers(made).values())[:3] == ("no", "no", "yes")


def mxfp8(module: str) -> Shapes:
    return {f"{module}.weight": ("F8_E4M3", (32, 32)), f"{module}.weight_scale": ("U8", (32, 1))}


def qwen3_moe_in_mxfp8() -> Shapes:
    layer = "model.layers.0"
    made = bf16("model.norm", 32) | bf16("model.embed_tokens") | bf16("lm_head")
    for part in "qkvo":
        made |= mxfp8(f"{layer}.self_attn.{part}_proj")
    for part in "qk":
        made |= bf16(f"{layer}.self_attn.{part}_norm", 16)
    for part in ("gate", "up", "down"):
        made |= mxfp8(f"{layer}.mlp.experts.0.{part}_proj")
        made |= mxfp8(f"{layer}.mlp.experts.1.{part}_proj")
    for norm in ("input_layernorm", "post_attention_layernorm"):
        made |= bf16(f"{layer}.{norm}", 32)
    return made | bf16(f"{layer}.mlp.gate", 2, 32)


QWEN3_MOE: dict[str, Any] = {
    **LLAMA_CONFIG,
    "decoder_sparse_step": 1,
    "head_dim": 16,
    "mlp_only_layers": [],
    "moe_intermediate_size": 32,
    "num_experts": 2,
    "num_experts_per_tok": 1,
}


def test_mxfp8_experts_stop_the_releases_that_have_no_layer_for_them(tmp_path: Path) -> None:
    """Vllm 0.16.0 and 0.17.1 modelopt.py, ModelOptMxFp8Config.get_quant_method."""
    made = write_checkpoint(
        tmp_path / "c",
        qwen3_moe_in_mxfp8(),
        {"quant_method": "modelopt", "quant_algo": "MXFP8", "ignore": ["lm_head", "*.mlp.gate"]},
        architecture="Qwen3MoeForCausalLM",
        extra_config=QWEN3_MOE,
    )
    assert answers(made) == {"0.15.1": "no", "0.16.0": "no", "0.17.1": "no", "0.20.0": "yes"}
    verdict = judge(load(made), asked("0.17.1"))
    assert verdict.loads.answer is Answer.NO
    (experts,) = (module for module in verdict.modules if module.name.endswith("experts"))
    assert experts.reason == "this release does not support MXFP8 experts"


@pytest.mark.parametrize("version", OLD)
def test_a_class_that_changed_is_not_answered_for(version: str) -> None:
    registered = load_profile("vllm", version).architectures
    families = [f for f in builtin_families() if f.spec.runtime == "vllm"]
    named = {a for family in families for a in family.spec.architectures if a in registered}
    unread = {a for a in named if why_unknown("vllm", version, a)}
    assert {"NemotronH_Nano_VL_V2", "DeepseekV3ForCausalLM", "Qwen3NextForCausalLM"} <= unread
    assert {"LlamaForCausalLM", "Qwen3MoeForCausalLM", "MixtralForCausalLM"} <= named - unread
    assert all(family_for("vllm", version, [a]) is None for a in unread)
    assert all(family_for("vllm", version, [a]) is not None for a in named - unread)
    named.remove("PixtralForConditionalGeneration")  # whose tower changed later
    assert not any(why_unknown("vllm", "0.17.1", a) for a in named)


def test_a_release_that_is_older_still() -> None:
    with pytest.raises(CkptfixError) as error:
        asked("0.14.0")
    assert "older than the oldest known release, 0.15.0" in str(error.value)
    assert "vllm@PYTHON" in str(error.value)
