"""Generate checkpoints of any size: real headers, sparse data, so 400 GB cost some hundred MB.

    python benchmarks/generate.py DIR --size 1m

A mixture-of-experts model in MIXED_PRECISION as Megatron-Core exports it: every expert is named
in both JSON files; attention FP8, experts NVFP4, the rest BF16.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

BITS = {"U8": 8, "F8_E4M3": 8, "F32": 32, "BF16": 16}
Row = tuple[str, str, tuple[int, ...]]
"""(tensor, dtype, shape)."""


@dataclass(frozen=True)
class Size:
    """How large the model is."""

    layers: int
    experts: int
    shard_files: int
    hidden: int = 4096
    intermediate: int = 1536

    @property
    def tensors(self) -> int:
        """Number of tensors."""
        return self.layers * (4 * 3 + 3 + self.experts * 12) + 3


SIZES = {
    "1k": Size(2, 32, 2),
    "165k": Size(52, 256, 40),
    "1m": Size(164, 512, 200),
}


def nvfp4(module: str, out: int, columns: int) -> Iterator[Row]:
    """Weight and companions of an NVFP4 module."""
    yield f"{module}.weight", "U8", (out, columns // 2)
    yield f"{module}.weight_scale", "F8_E4M3", (out, columns // 16)
    yield f"{module}.weight_scale_2", "F32", ()
    yield f"{module}.input_scale", "F32", ()


def fp8(module: str, out: int, columns: int) -> Iterator[Row]:
    """Weight and scales of an FP8 module."""
    yield f"{module}.weight", "F8_E4M3", (out, columns)
    yield f"{module}.weight_scale", "F32", ()
    yield f"{module}.input_scale", "F32", ()


def layer_rows(size: Size, layer: int) -> Iterator[Row]:
    """All tensors of one decoder layer."""
    hidden, inner = size.hidden, size.intermediate
    prefix = f"model.layers.{layer}"
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        yield from fp8(f"{prefix}.self_attn.{part}", hidden, hidden)
    yield f"{prefix}.mlp.gate.weight", "BF16", (size.experts, hidden)
    yield f"{prefix}.input_layernorm.weight", "BF16", (hidden,)
    yield f"{prefix}.post_attention_layernorm.weight", "BF16", (hidden,)
    for expert in range(size.experts):
        bank = f"{prefix}.mlp.experts.{expert}"
        yield from nvfp4(f"{bank}.gate_proj", inner, hidden)
        yield from nvfp4(f"{bank}.up_proj", inner, hidden)
        yield from nvfp4(f"{bank}.down_proj", hidden, inner)


def model_rows(size: Size) -> Iterator[Row]:
    """All tensors, in the order of the model."""
    yield "model.embed_tokens.weight", "BF16", (32_000, size.hidden)
    for layer in range(size.layers):
        yield from layer_rows(size, layer)
    yield "model.norm.weight", "BF16", (size.hidden,)
    yield "lm_head.weight", "BF16", (32_000, size.hidden)


def entries(size: Size) -> dict[str, dict[str, Any]]:
    """quantized_layers."""
    named: dict[str, dict[str, Any]] = {}
    for layer in range(size.layers):
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            named[f"model.layers.{layer}.self_attn.{part}"] = {"quant_algo": "FP8"}
        for expert in range(size.experts):
            for part in ("gate_proj", "up_proj", "down_proj"):
                name = f"model.layers.{layer}.mlp.experts.{expert}.{part}"
                named[name] = {"quant_algo": "NVFP4", "group_size": 16}
    return named


def write_shard(path: Path, rows: list[Row]) -> int:
    """A header and a hole; the bytes of data."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape in rows:
        start, end = end, end + BITS[dtype] * prod(shape) // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        os.truncate(file.fileno(), 8 + len(encoded) + end)
    return end


def generate(directory: Path, size: Size) -> int:
    """Write a checkpoint; the number of tensors."""
    directory.mkdir(parents=True)
    rows = list(model_rows(size))
    per_shard = -(-len(rows) // size.shard_files)
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(size.shard_files):
        part = rows[number * per_shard : (number + 1) * per_shard]
        file = f"model-{number + 1:05}-of-{size.shard_files:05}.safetensors"
        total += write_shard(directory / file, part)
        weight_map |= {name: file for name, _, _ in part}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write(directory / "model.safetensors.index.json", index)
    quantization = {"quant_algo": "MIXED_PRECISION", "quantized_layers": entries(size)}
    producer = {"name": "modelopt", "version": "0.47.0"}
    config = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "num_hidden_layers": size.layers,
        "quantization_config": {
            **quantization,
            "ignore": [],
            "producer": producer,
            "quant_method": "modelopt",
        },
    }
    _write(directory / "config.json", config)
    hf = {"producer": producer, "quantization": {**quantization, "kv_cache_quant_algo": None}}
    _write(directory / "hf_quant_config.json", hf)
    return len(rows)


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Generate a sparse checkpoint.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--size", choices=SIZES, default="1k")
    arguments = parser.parse_args()
    print(f"{generate(arguments.directory, SIZES[arguments.size]):,} tensors")


if __name__ == "__main__":
    main()
