"""Whole small models of other quantizers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ckptfix.operations.check import check
from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.runtimes.loads import Answer
from tests.builders import Shapes, bf16, write_checkpoint

RELEASE = "vllm==0.33.0"


GPTQ: Callable[[str], Shapes] = lambda name: {  # noqa: E731
    f"{name}.qweight": ("I32", (8, 64)),
    f"{name}.qzeros": ("I32", (1, 8)),
    f"{name}.scales": ("F16", (1, 64)),
}


EVERY_LINEAR = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


LINEARS = [
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
]


NORMS = ("input_layernorm", "post_attention_layernorm")


METADATA = {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True, "desc_act": False}


CONFIG: dict[str, Any] = {
    "num_hidden_layers": 1,
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
}


def model(
    tmp_path: Path,
    metadata: dict[str, Any],
    linear: Callable[[str], Shapes] = GPTQ,
    plain: tuple[str, ...] = (),
) -> Path:
    """A Llama of one layer, each linear layer made by a function but those in `plain`."""
    layer = "model.layers.0."
    tensors: Shapes = {**bf16("model.embed_tokens", 64, 64), **bf16("lm_head", 64, 64)}
    for name in LINEARS:
        tensors |= bf16(layer + name, 64, 64) if name in plain else linear(layer + name)
    for norm in (*(layer + n for n in NORMS), "model.norm"):
        tensors[f"{norm}.weight"] = ("BF16", (64,))
    return write_checkpoint(tmp_path / "model", tensors, metadata, extra_config=CONFIG)


def loads(directory: Path) -> tuple[CheckedCheckpoint, Answer]:
    checked = check(directory, runtimes=[RELEASE])
    return checked, checked.verdicts[0].loads.answer
