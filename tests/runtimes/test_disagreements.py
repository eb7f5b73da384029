"""Metadata that is right in the checkpoint's names and that a release does not find.

These are the disagreements of section 4 of ../shared/facts/runtime-lookups.md, by their numbers.
"""

from pathlib import Path

import pytest

from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import load


def verdict(directory: Path, runtime: str, version: str) -> TargetVerdict:
    return judge(load(directory), Target(runtime, version, version))


def checkpoint(directory: Path, architecture: str, modules: list[str], listed: list[str]) -> Path:
    tensors = {name: row for module in modules for name, row in nvfp4(module).items()}
    names = dict.fromkeys(listed, "NVFP4")
    entries = mixed(names, quant_method="modelopt", kv_cache_scheme=None)
    return write_checkpoint(directory, tensors, entries, architecture=architecture)


QKV = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
EXPERT = ["gate_proj", "up_proj", "down_proj"]


def below(parent: str, *names: str) -> list[str]:
    return [f"{parent}.{name}" for name in names]


DISAGREEMENTS = [
    # number, release, architecture; modules as the checkpoint calls them; the name that the release
    # asks for; whether listing that name too helps
    (
        "V1 vllm 0.33.0 MiniMaxM2ForCausalLM",
        below("model.layers.0.block_sparse_moe.experts.0", "w1", "w2", "w3"),
        "model.layers.0.mlp.experts",
        True,
    ),
    (
        "V2 vllm 0.33.0 DeepseekV4ForConditionalGeneration",
        ["layers.0.attn.wq_b"],
        "language_model.model.layers.0.attn.wq_b",
        True,
    ),
    (
        "V4 vllm 0.33.0 GraniteMoeHybridForCausalLM",
        ["model.layers.0.mamba.in_proj"],
        "model.layers.0.mixer.in_proj",
        True,
    ),
    (
        "V6 vllm 0.33.0 DeepseekVLV2ForCausalLM",
        ["language.model.layers.0.mlp.down_proj"],
        "language.model.layers.0.mlp.down_proj",
        False,
    ),
    (
        "V7 vllm 0.33.0 Lfm2VlForConditionalGeneration",
        ["model.language_model.layers.0.conv.in_proj"],
        "language.model.layers.0.short_conv.in_proj",
        True,
    ),
    (
        "V7 vllm 0.33.0 KananaVForConditionalGeneration",
        ["language_model.model.layers.0.mlp.down_proj"],
        "model.model.layers.0.mlp.down_proj",
        True,
    ),
    (
        "V7 vllm 0.33.0 ExaoneForCausalLM",
        ["transformer.h.0.mlp.c_proj"],
        "model.h.0.mlp.c_proj",
        True,
    ),
    ("V11 vllm 0.33.0 ExaoneMoeForCausalLM", ["lm_head"], "", False),
    (
        "S1 sglang 0.5.23 LlamaForCausalLM",
        below("model.layers.0", *QKV),
        "model.layers.0.self_attn.qkv_proj",
        True,
    ),
    (
        "S1 sglang 0.5.23 DeepseekV32ForCausalLM",
        below("model.layers.0.mlp", "gate_proj", "up_proj"),
        "model.layers.0.mlp.gate_up_proj",
        True,
    ),
    (
        # Its mapper rewrites attn.qkv wherever it is, so qkv_proj cannot be listed.
        "S2 sglang 0.5.23 Qwen3VLForConditionalGeneration",
        below("model.language_model.layers.0", *QKV),
        "model.language_model.layers.0.self_attn.qkv_proj",
        False,
    ),
    (
        "S2 sglang 0.5.23 Qwen3VLForConditionalGeneration",
        below("model.language_model.layers.0.mlp", "gate_proj", "up_proj"),
        "model.language_model.layers.0.mlp.gate_up_proj",
        True,
    ),
    (
        "S4 sglang 0.5.23 KimiK25ForConditionalGeneration",
        ["language_model.model.layers.0.mlp.down_proj"],
        "model.layers.0.mlp.down_proj",
        True,
    ),
    (
        "S5 sglang 0.5.23 Gemma4ForConditionalGeneration",
        below("model.language_model.layers.0.experts.0", *EXPERT),
        "model.language_model.layers.0.moe.experts",
        True,
    ),
    (
        "S6 sglang 0.5.23 Step3p5ForCausalLM",
        below("model.layers.0.moe", *EXPERT),
        "model.layers.0.mlp.experts",
        True,
    ),
    (
        "S7 sglang 0.5.23 GraniteMoeHybridForCausalLM",
        ["model.layers.0.mamba.in_proj"],
        "model.layers.0.mixer.in_proj",
        True,
    ),
    (
        "S7 sglang 0.5.23 FalconH1ForCausalLM",
        ["model.layers.0.feed_forward.down_proj"],
        "model.layers.0.mlp.down_proj",
        True,
    ),
]


@pytest.mark.parametrize(
    ("where", "modules", "asked", "alias_helps"), DISAGREEMENTS, ids=lambda value: str(value)[:60]
)
def test_quantized_layers_that_a_release_does_not_find(
    where: str, modules: list[str], asked: str, alias_helps: bool, tmp_path: Path
) -> None:
    _, runtime, version, architecture = where.split()
    judged = verdict(checkpoint(tmp_path / "hub", architecture, modules, modules), runtime, version)
    assert not judged.problem
    assert [(module.name, module.resolved) for module in judged.wrong] == [(asked, "unquantized")]
    both = [*modules, asked] if asked else modules
    judged = verdict(checkpoint(tmp_path / "both", architecture, modules, both), runtime, version)
    assert (not judged.wrong) == alias_helps


def test_a_head_that_is_looked_up_without_a_name_cannot_be_excluded(tmp_path: Path) -> None:
    tensors = {**fp8("model.layers.0.mlp.down_proj"), **bf16("lm_head")}
    uniform = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    write_checkpoint(tmp_path, tensors, uniform, architecture="ExaoneMoeForCausalLM")
    (head,) = verdict(tmp_path, "vllm", "0.33.0").wrong
    assert (head.members, head.resolved) == (("lm_head",), "FP8")
    assert head.label == "lm_head (looked up without a name)"


def test_excluding_two_of_three_members_of_gemma_4_stops_vllm(tmp_path: Path) -> None:
    parent = "model.language_model.layers.0"
    names = [f"{parent}.self_attn.q_proj", f"{parent}.self_attn.k_proj"]
    tensors = {**bf16(names[0]), **bf16(names[1]), **fp8(f"{parent}.mlp.down_proj")}
    uniform = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": names}
    write_checkpoint(tmp_path, tensors, uniform, architecture="Gemma4ForConditionalGeneration")
    (qkv,) = verdict(tmp_path, "vllm", "0.33.0").wrong
    assert qkv.name == "language_model.model.layers.0.self_attn.qkv_proj"
    assert qkv.resolved == "error"


def test_an_excluded_base_layer_of_phi_4_mm_is_quantized_anyway(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.o_proj.base_layer"
    uniform = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": [name]}
    write_checkpoint(tmp_path, bf16(name), uniform, architecture="Phi4MMForCausalLM")
    (module,) = verdict(tmp_path, "vllm", "0.33.0").wrong
    assert (module.name, module.resolved) == ("model.layers.0.self_attn.o_proj", "FP8")


@pytest.mark.parametrize(
    ("runtime", "architecture", "message"),
    [
        ("vllm", "FalconH1ForCausalLM", "model.N.mixer"),
        ("vllm", "Zamba2ForCausalLM", "N.mixer"),
        ("vllm", "Starcoder2ForCausalLM", "is not known"),
    ],
)
def test_an_unknown_layout_is_reported_as_unknown(
    runtime: str, architecture: str, message: str, tmp_path: Path
) -> None:
    directory = checkpoint(tmp_path, architecture, ["model.a"], ["model.a"])
    judged = verdict(directory, runtime, known_releases(runtime)[-1])
    assert judged.problem.startswith(f"how it lays out {architecture} ")
    assert message in judged.problem
    assert not judged.fails
