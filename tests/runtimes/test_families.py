"""Where families put modules: names read in the model classes, and what follows for metadata.

What vLLM 0.33.0 can build on this machine is compared with its own questions in test_binding.py.
Here are the classes that it cannot build, older releases, and SGLang.
"""

from pathlib import Path

import pytest

from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.binding import runtime_modules
from ckptfix.runtimes.family import builtin_family_files, family_for
from ckptfix.runtimes.profile_store import known_releases, load_profile
from tests.builders import fp8, mixed, write_checkpoint
from tests.conftest import load

NOT_QUANTIZED = "takes no config"

PLACES = [
    # runtime, release, architecture, {checkpoint module: name asked for, or why none}
    (
        "vllm",
        "0.33.0",
        "DeepseekV4ForCausalLM",
        {
            "layers.2.attn.wq_a": "model.layers.2.attn.fused_wqa_wkv",
            "layers.2.attn.wkv": "model.layers.2.attn.fused_wqa_wkv",
            "layers.2.attn.indexer.wq_b": "model.layers.2.attn.indexer.wq_b",
            "layers.2.attn.compressor.wkv": NOT_QUANTIZED,
            "layers.2.ffn.shared_experts.w1": "model.layers.2.ffn.shared_experts.gate_up_proj",
            "layers.2.ffn.shared_experts.w2": "model.layers.2.ffn.shared_experts.down_proj",
            "layers.2.ffn.experts.7.w2": "model.layers.2.ffn.experts",
            "layers.2.ffn.gate": NOT_QUANTIZED,
            "embed": NOT_QUANTIZED,
            "head": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.33.0",
        "DeepseekV4ForConditionalGeneration",
        {
            "layers.2.attn.wq_b": "language_model.model.layers.2.attn.wq_b",
            "layers.2.ffn.experts.7.w1": "language_model.model.layers.2.ffn.experts",
            "vision.blocks.0.attn.wqkv": NOT_QUANTIZED,
            "aligner.w1": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.17.1",
        "GlmMoeDsaForCausalLM",
        {
            "model.layers.3.self_attn.indexer.wk": "model.layers.3.self_attn.indexer.wk",
            "model.layers.3.self_attn.indexer.weights_proj": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.33.0",
        "DeepseekVLV2ForCausalLM",
        {
            "language.model.layers.1.mlp.experts.3.up_proj": "language.model.layers.1.mlp.experts",
            "language.lm_head": "language.lm_head",
            "vision.blocks.0.mlp.fc1": NOT_QUANTIZED,
            "projector.layers.0": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.33.0",
        "KananaVForConditionalGeneration",
        {
            "language_model.model.layers.0.mlp.up_proj": "model.model.layers.0.mlp.up_proj",
            "language_model.lm_head": "model.lm_head",
            "vision_model.blocks.0.attn.qkv": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.33.0",
        "ExaoneForCausalLM",
        {
            "transformer.h.0.attn.attention.q_proj": "model.h.0.attn.attention.qkv_proj",
            "transformer.h.0.attn.attention.out_proj": "model.h.0.attn.attention.out_proj",
            "transformer.h.0.mlp.c_fc_0": "model.h.0.mlp.gate_up_proj",
            "transformer.h.0.mlp.c_fc_1": "model.h.0.mlp.gate_up_proj",
            "transformer.wte": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.25.0",
        "Lfm2ForCausalLM",
        {"model.layers.0.conv.in_proj": "model.layers.0.conv.in_proj"},
    ),
    (
        "vllm",
        "0.33.0",
        "Phi4MMForCausalLM",
        {
            "model.layers.0.self_attn.qkv_proj.base_layer": "model.layers.0.self_attn.qkv_proj",
            "model.layers.0.mlp.down_proj.base_layer": "model.layers.0.mlp.down_proj",
            "model.embed_tokens_extend.image_embed.img_projection.0": NOT_QUANTIZED,
            "model.embed_tokens_extend.audio_embed.encoder.embed.out": NOT_QUANTIZED,
        },
    ),
    (
        "vllm",
        "0.33.0",
        "MiniMaxM3SparseForConditionalGeneration",
        {
            "language_model.model.layers.3.self_attn.q_proj": (
                "language_model.model.layers.3.self_attn.qkv_proj"
            ),
            "language_model.model.layers.3.self_attn.index_k_proj": (
                "language_model.model.layers.3.self_attn.qkv_proj"
            ),
            "language_model.model.layers.3.block_sparse_moe.experts.0.w1": (
                "language_model.model.layers.3.block_sparse_moe.experts"
            ),
            "language_model.model.layers.3.block_sparse_moe.gate": NOT_QUANTIZED,
            "multi_modal_projector.linear_1": "vision_tower.multi_modal_projector.linear_1",
            "vision_tower.vision_model.encoder.layers.0.mlp.fc1": (
                "vision_tower.vision_model.encoder.layers.0.fc1"
            ),
        },
    ),
    (
        "sglang",
        "0.5.23",
        "MiniMaxM3SparseForConditionalGeneration",
        {
            "language_model.model.layers.3.self_attn.index_q_proj": (
                "language_model.model.layers.3.self_attn.index_qkv_proj"
            ),
            "language_model.model.layers.3.block_sparse_moe.experts.0.w1": (
                "language_model.model.layers.3.mlp.experts"
            ),
            "vision_tower.vision_model.encoder.layers.0.mlp.fc1": NOT_QUANTIZED,
        },
    ),
    (
        "sglang",
        "0.5.23",
        "GlmMoeDsaForCausalLM",
        {
            "model.layers.3.self_attn.q_a_proj": (
                "model.layers.3.self_attn.fused_qkv_a_proj_with_mqa"
            ),
            "model.layers.3.self_attn.indexer.wk": NOT_QUANTIZED,
            "model.layers.3.self_attn.indexer.wq_b": "model.layers.3.self_attn.indexer.wq_b",
        },
    ),
    (
        "sglang",
        "0.5.14",
        "GlmMoeDsaForCausalLM",
        {"model.layers.3.self_attn.indexer.wk": "model.layers.3.self_attn.indexer.wk"},
    ),
    (
        "sglang",
        "0.5.23",
        "Gemma4ForConditionalGeneration",
        {
            "model.language_model.layers.0.experts.0.up_proj": (
                "model.language_model.layers.0.moe.experts"
            ),
            "model.language_model.layers.0.router.proj": NOT_QUANTIZED,
            "model.vision_tower.encoder.layers.0.self_attn.q_proj.linear": (
                "model.vision_tower.encoder.layers.0.self_attn.qkv_proj"
            ),
            "model.vision_tower.patch_embedder.input_proj": NOT_QUANTIZED,
            "model.audio_tower.layers.0.self_attn.post.linear": (
                "model.audio_tower.conformer.0.attention.post"
            ),
            "model.audio_tower.layers.0.feed_forward1.ffw_layer_1.linear": (
                "model.audio_tower.conformer.0.ffw_layer_start.ffw_layer_1"
            ),
            "lm_head": "model.lm_head",
        },
    ),
    (
        "sglang",
        "0.5.23",
        "Lfm2ForCausalLM",
        {
            "model.layers.0.conv.in_proj": "model.layers.0.conv.in_proj",
            "model.layers.0.feed_forward.w1": "model.layers.0.feed_forward.w1",
        },
    ),
    (
        "sglang",
        "0.5.23",
        "Lfm2MoeForCausalLM",
        {
            "model.layers.0.feed_forward.w1": "model.layers.0.feed_forward.gate_up_proj",
            "model.layers.0.feed_forward.w2": "model.layers.0.feed_forward.down_proj",
            "model.layers.2.feed_forward.gate": NOT_QUANTIZED,
        },
    ),
    (
        "sglang",
        "0.5.23",
        "Lfm2VlForConditionalGeneration",
        {
            "model.language_model.layers.0.conv.in_proj": (
                "language_model.model.layers.0.conv.in_proj"
            ),
            "model.vision_tower.encoder.layers.0.self_attn.out_proj": (
                "vision_tower.vision_model.encoder.layers.0.self_attn.proj"
            ),
            "model.multi_modal_projector.linear_1": "",
        },
    ),
    (
        "sglang",
        "0.5.23",
        "Mistral3ForConditionalGeneration",
        {
            "model.language_model.layers.0.mlp.down_proj": (
                "language_model.model.layers.0.mlp.down_proj"
            ),
            "model.vision_tower.transformer.layers.0.attention.o_proj": (
                "vision_tower.transformer.layers.0.attention.proj"
            ),
            "model.multi_modal_projector.linear_1": NOT_QUANTIZED,
            "lm_head": "language_model.lm_head",
        },
    ),
    (
        "sglang",
        "0.5.23",
        "LlavaForConditionalGeneration",
        {
            "language_model.model.layers.0.mlp.up_proj": (
                "language_model.model.layers.0.mlp.up_proj"
            ),
            "vision_tower.vision_model.encoder.layers.0.self_attn.out_proj": (
                "vision_tower.vision_model.encoder.layers.0.self_attn.proj"
            ),
            "multi_modal_projector.linear_1": NOT_QUANTIZED,
        },
    ),
    (
        "sglang",
        "0.5.23",
        "ExaoneForCausalLM",
        {
            "transformer.h.0.attn.attention.q_proj": "transformer.h.0.self_attn.qkv_proj",
            "lm_head": NOT_QUANTIZED,
        },
    ),
    (
        "sglang",
        "0.5.23",
        "FalconH1ForCausalLM",
        {
            "model.layers.0.self_attn.q_proj": "",
            "model.layers.0.mamba.in_proj": NOT_QUANTIZED,
            "model.layers.0.feed_forward.down_proj": "model.layers.0.mlp.down_proj",
        },
    ),
]


@pytest.mark.parametrize(
    ("runtime", "version", "architecture", "places"), PLACES, ids=lambda value: str(value)[:40]
)
def test_places(runtime: str, version: str, architecture: str, places: dict[str, str]) -> None:
    family = family_for(runtime, version, [architecture])
    assert family is not None
    tensors = {f"{name}.weight": Tensor("BF16", (8, 8), (0, 0)) for name in places}
    modules = runtime_modules(group_modules(tensors), family)
    asked = {
        member: module.name if module.takes_quant_config else NOT_QUANTIZED
        for module in modules
        for member in module.members
    }
    assert asked == places


def test_a_family_is_for_an_architecture_that_some_release_registers() -> None:
    registered = {
        (runtime, architecture)
        for runtime in ("vllm", "sglang")
        for version in known_releases(runtime)
        for architecture in load_profile(runtime, version).architectures
    }
    described: set[tuple[str, str]] = set()
    for file in builtin_family_files().values():
        described |= {(spec.runtime, name) for spec in file.families for name in spec.architectures}
        described |= {(spec.runtime, name) for spec in file.unknown for name in spec.architectures}
    assert described <= registered


@pytest.mark.parametrize(
    ("text_config", "inner"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM"),
        ({"model_type": "mistral"}, "MistralForCausalLM"),
        (None, "MistralForCausalLM"),
    ],
)
def test_the_inner_model_is_the_one_that_config_json_names(
    text_config: dict[str, object] | None, inner: str, tmp_path: Path
) -> None:
    more = {"text_config": text_config} if text_config is not None else {}
    write_checkpoint(
        tmp_path,
        fp8("model.language_model.layers.0.mlp.down_proj"),
        mixed({"model.language_model.layers.0.mlp.down_proj": "FP8"}),
        architecture="Mistral3ForConditionalGeneration",
        extra_config=more,
    )
    config = load(tmp_path).config
    family = family_for("vllm", "0.33.0", config.architectures)
    assert family is not None
    assert family.inner_of(config.nested) == (inner,)
