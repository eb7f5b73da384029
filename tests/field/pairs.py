"""Pairs of a healthy and a broken checkpoint, and the parts that they are made of."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.builders import Shapes, bf16, safetensors_bytes, write_checkpoint


@dataclass(frozen=True)
class Draft:
    """A checkpoint that can be written."""

    tensors: Shapes
    quantization: dict[str, Any]
    architecture: str = "LlamaForCausalLM"
    config: dict[str, Any] = field(default_factory=dict)
    hf_quant: dict[str, Any] | None = None
    index: dict[str, str] | None = None
    """Tensor -> shard file, where it is not as it should be."""

    def write(self, directory: Path) -> Path:
        """Write all files."""
        quantization = {"quant_method": "modelopt", **self.quantization}
        write_checkpoint(
            directory,
            self.tensors,
            quantization,
            architecture=self.architecture,
            extra_config=self.config,
        )
        if self.hf_quant is not None:
            text = json.dumps({"quantization": self.hf_quant}, indent=2)
            (directory / "hf_quant_config.json").write_text(text, encoding="utf-8")
        if self.index is not None:
            (directory / "model.safetensors").write_bytes(safetensors_bytes(self.tensors))
            text = json.dumps({"metadata": {}, "weight_map": self.index}, indent=2)
            (directory / "model.safetensors.index.json").write_text(text, encoding="utf-8")
        return directory


Pair = tuple[Draft, Draft]


LAYER = "model.layers.0"


HEAD = bf16("lm_head")


def uniform(*patterns: str, algo: str = "NVFP4") -> dict[str, Any]:
    """The metadata of a checkpoint in one format."""
    size = {"group_size": 16} if algo == "NVFP4" else {}
    return {"quant_algo": algo, **size, "ignore": list(patterns)}


def attention(make: Callable[[str], Shapes]) -> Shapes:
    """q, k, v and o of the first layer."""
    parts = ("q_proj", "k_proj", "v_proj", "o_proj")
    return {k: v for part in parts for k, v in make(f"{LAYER}.self_attn.{part}").items()}


def bank(make: Callable[[str], Shapes]) -> Shapes:
    """Two experts."""
    names = [
        f"{LAYER}.mlp.experts.{expert}.{part}_proj"
        for expert in range(2)
        for part in ("gate", "up", "down")
    ]
    return {key: shape for name in names for key, shape in make(name).items()}
