"""A small Llama, a small Qwen MoE, and the answer of the newest releases for a variant of them."""

from pathlib import Path
from typing import Any

from ckptfix.runtimes.loads import Loads
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, bf16, fp8, nvfp4, write_checkpoint
from tests.conftest import load

FP8 = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
NVFP4 = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "group_size": 16,
    "ignore": ["lm_head", "*.mlp.gate"],
}
SIZES = {"num_hidden_layers": 2, "vocab_size": 32, "tie_word_embeddings": False}
BOTH = ("vllm", "sglang")


def attention(layer: str) -> Shapes:
    made: Shapes = {}
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= fp8(f"{layer}.self_attn.{part}")
    for part in ("input_layernorm", "post_attention_layernorm"):
        made |= bf16(f"{layer}.{part}", 32)
    return made


def llama() -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    for number in range(2):
        layer = f"model.layers.{number}"
        made |= attention(layer)
        for part in ("gate_proj", "up_proj", "down_proj"):
            made |= fp8(f"{layer}.mlp.{part}")
    return made


def qwen_moe(experts: int = 4) -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    layer = "model.layers.0"
    made |= {name: shape for name, shape in attention(layer).items() if "proj" not in name}
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= nvfp4(f"{layer}.self_attn.{part}")
    for part in ("q_norm", "k_norm"):
        made |= bf16(f"{layer}.self_attn.{part}", 32)
    for number in range(experts):
        for part in ("gate_proj", "up_proj", "down_proj"):
            made |= nvfp4(f"{layer}.mlp.experts.{number}.{part}")
    return made | bf16(f"{layer}.mlp.gate", experts, 32)


def loads(
    directory: Path,
    runtime: str,
    tensors: Shapes,
    config: dict[str, Any] | None = None,
    *,
    architecture: str = "LlamaForCausalLM",
    quantization: dict[str, Any] | None = None,
) -> Loads:
    write_checkpoint(
        directory,
        tensors,
        FP8 if quantization is None else quantization,
        architecture=architecture,
        extra_config=SIZES | (config or {}),
    )
    version = {"vllm": "0.33.0", "sglang": "0.5.23"}[runtime]
    return judge(load(directory), Target(runtime, version, version)).loads


def reasons_of(found: Loads) -> str:
    return " | ".join(map(str, found.reasons))
