"""Generate checkpoints of any size: real headers, sparse data, so 800 GB cost some hundred MB.

    python benchmarks/generate.py DIR --size 1m --state names

A Nemotron Nano VL in MIXED_PRECISION: attention FP8, experts NVFP4 (of the dense size the MLPs),
the rest BF16. Files are laid out as `save_pretrained` and ModelOpt 0.47 leave them: layers go to
shard files in the order of the model; a header holds the widest dtype first and names in order of
their characters (safetensors 0.8.0, `serialize`), and so does the index; metadata name modules in
the order of the model.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

BITS: Final = {
    **dict.fromkeys(("U8", "I8", "F8_E8M0", "F8_E4M3"), 8),
    **dict.fromkeys(("F16", "BF16"), 16),
    **dict.fromkeys(("I32", "F32"), 32),
    **dict.fromkeys(("I64", "F64"), 64),
}
"""Narrowest first, which is the opposite of how safetensors sorts."""
Row = tuple[str, str, tuple[int, ...]]
"""(tensor, dtype, shape)."""
State = Literal["clean", "names", "expert"]
STATES: Final[tuple[State, ...]] = ("names", "expert", "clean")
"""names: metadata as ModelOpt writes them, which vLLM before 0.20.0 does not find (the bug of the
README); expert: one expert of one layer was never calibrated; clean: names that every release
finds."""
STORED, ASKED = "language_model.backbone", "language_model.model"


@dataclass(frozen=True)
class Size:
    """How large the model is; every fourth layer is attention."""

    layers: int
    experts: int
    """0: dense."""
    shard_files: int
    hidden: int = 4096
    intermediate: int = 1536


SIZES: Final = {
    "1k": Size(148, 0, 4),
    "25k": Size(32, 128, 8),
    "165k": Size(104, 256, 40),
    "1m": Size(328, 512, 200),
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


def quantized(size: Size, layer: int) -> Iterator[tuple[str, str, int, int]]:
    """(module below the layer, quant_algo, output features, input features)."""
    if layer % 4 == 3:
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"mixer.{part}", "FP8", size.hidden, size.hidden
        return
    blocks = [f"mixer.experts.{expert}" for expert in range(size.experts)] or ["mixer"]
    for block in blocks:
        yield f"{block}.up_proj", "NVFP4", size.intermediate, size.hidden
        yield f"{block}.down_proj", "NVFP4", size.hidden, size.intermediate


def layer_rows(size: Size, layer: int) -> Iterator[Row]:
    """All tensors of one decoder layer."""
    prefix = f"{STORED}.layers.{layer}"
    yield f"{prefix}.norm.weight", "BF16", (size.hidden,)
    if size.experts and layer % 4 != 3:
        yield f"{prefix}.mixer.gate.weight", "BF16", (size.experts, size.hidden)
        yield f"{prefix}.mixer.gate.e_score_correction_bias", "F32", (size.experts,)
    for module, algo, out, columns in quantized(size, layer):
        yield from (fp8 if algo == "FP8" else nvfp4)(f"{prefix}.{module}", out, columns)


def model_rows(size: Size, state: State) -> Iterator[Row]:
    """All tensors, in the order of the model."""
    lost = f"{STORED}.layers.1.mixer{'.experts.1' if size.experts else ''}.up_proj.input_scale"
    yield f"{STORED}.embeddings.weight", "BF16", (32_000, size.hidden)
    for layer in range(size.layers):
        for row in layer_rows(size, layer):
            if state != "expert" or row[0] != lost:
                yield row
    yield f"{STORED}.norm_f.weight", "BF16", (size.hidden,)
    yield "language_model.lm_head.weight", "BF16", (32_000, size.hidden)


def entries(size: Size, state: State) -> dict[str, dict[str, Any]]:
    """quantized_layers."""
    trunk = STORED if state == "names" else ASKED
    scheme: dict[str, dict[str, Any]] = {
        "FP8": {"quant_algo": "FP8"},
        "NVFP4": {"quant_algo": "NVFP4", "group_size": 16},
    }
    return {
        f"{trunk}.layers.{layer}.{module}": scheme[algo]
        for layer in range(size.layers)
        for module, algo, _, _ in quantized(size, layer)
    }


def write_shard(path: Path, rows: list[Row]) -> int:
    """A header and a hole; the bytes of data."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    widest = list(BITS)
    for name, dtype, shape in sorted(rows, key=lambda row: (-widest.index(row[1]), row[0])):
        start, end = end, end + BITS[dtype] * prod(shape) // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        os.truncate(file.fileno(), 8 + len(encoded) + end)
    return end


def generate(directory: Path, size: Size, state: State = "clean") -> int:
    """Write a checkpoint; the number of tensors."""
    directory.mkdir(parents=True)
    rows = list(model_rows(size, state))
    per_shard = -(-len(rows) // size.shard_files)
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(size.shard_files):
        part = rows[number * per_shard : (number + 1) * per_shard]
        file = f"model-{number + 1:05}-of-{size.shard_files:05}.safetensors"
        total += write_shard(directory / file, part)
        weight_map |= {name: file for name, _, _ in part}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    _write(directory / "model.safetensors.index.json", index)
    quantization = {"quant_algo": "MIXED_PRECISION", "quantized_layers": entries(size, state)}
    producer = {"name": "modelopt", "version": "0.47.0"}
    config = {
        "architectures": ["NemotronH_Nano_VL_V2"],
        "model_type": "NemotronH_Nano_VL_V2",
        "vision_config": {"model_type": "radio"},
        "llm_config": {
            "architectures": ["NemotronHForCausalLM"],
            "model_type": "nemotron_h",
            "num_hidden_layers": size.layers,
            "hidden_size": size.hidden,
            "intermediate_size": size.intermediate,
            "moe_intermediate_size": size.intermediate,
            "num_attention_heads": size.hidden // 128,
            "num_key_value_heads": size.hidden // 128,
            "head_dim": 128,
            "tie_word_embeddings": False,
            "vocab_size": 32_000,
        }
        | ({"n_routed_experts": size.experts} if size.experts else {}),
        "quantization_config": {
            "ignore": [],
            **quantization,
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
    parser.add_argument("--state", choices=STATES, default="clean")
    arguments = parser.parse_args()
    made = generate(arguments.directory, SIZES[arguments.size], arguments.state)
    print(f"{made:,} tensors")


if __name__ == "__main__":
    main()
