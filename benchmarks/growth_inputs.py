"""Checkpoints with n of something that costs few bytes: patterns, names, parts of names, rules."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from generate import Row, fp8, nvfp4, write_shard

Make = Callable[[Path, int], None]
"""Writes a checkpoint with n of something into a directory that is not there yet."""
PARTS = (
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
)
LAYERS = 186
"""With 7 modules each, and lm_head: 1,303 modules."""
INDEX = "model.safetensors.index.json"
COMMON = "model.layers.proj"
"""Characters that every name of a quantized module holds in this order."""


OUTSIDE: tuple[Row, ...] = (
    ("lm_head.weight", "BF16", (64, 64)),
    ("model.embed_tokens.weight", "BF16", (64, 64)),
    ("model.norm.weight", "BF16", (64,)),
)
"""No release loads a checkpoint without these."""


def dense_rows(layers: int) -> Iterator[Row]:
    """A dense checkpoint in FP8."""
    for layer in range(layers):
        for part in PARTS:
            yield from fp8(f"model.layers.{layer}.{part}", 64, 64)
    yield from OUTSIDE


def write(
    directory: Path,
    quantization: dict[str, Any],
    rows: list[Row] | None = None,
    architecture: str = "LlamaForCausalLM",
) -> None:
    """One shard file, and the same metadata in both files."""
    directory.mkdir()
    rows = list(dense_rows(LAYERS)) if rows is None else rows
    write_shard(directory / "model.safetensors", rows)
    config = {
        "architectures": [architecture],
        "quantization_config": {"quant_method": "modelopt", **quantization},
    }
    (directory / "config.json").write_text(json.dumps(config))
    same = ("quant_algo", "quantized_layers", "group_size")
    declared: dict[str, Any] = {key: quantization[key] for key in same if key in quantization}
    declared["exclude_modules"] = quantization.get("ignore", [])
    (directory / "hf_quant_config.json").write_text(json.dumps({"quantization": declared}))


def excluding(pattern: Callable[[int], str], *, grows: bool = False) -> Make:
    """n exclude patterns over 1,303 modules, or over as many modules."""

    def make(directory: Path, n: int) -> None:
        rows = list(dense_rows(n // len(PARTS) if grows else LAYERS))
        write(directory, {"quant_algo": "FP8", "ignore": list(map(pattern, range(n)))}, rows)

    return make


def hits_all(number: int) -> str:
    """One of 131,072 patterns that all match every quantized module."""
    chosen = [c for at, c in enumerate(COMMON) if number >> at & 1]
    return f"*{'*'.join(chosen)}*"


def naming(entry: Callable[[int], str]) -> Make:
    """n entries of quantized_layers over 1,303 modules."""

    def make(directory: Path, n: int) -> None:
        entries = {entry(number): {"quant_algo": "FP8"} for number in range(n)}
        write(directory, {"quant_algo": "MIXED_PRECISION", "quantized_layers": entries})

    return make


def deep_entries(directory: Path, n: int) -> None:
    """16 entries of n dotted parts."""
    naming(lambda number: f"a{number}" + ".b" * n)(directory, 16)


def deep_modules(directory: Path, n: int) -> None:
    """n modules of 480 dotted parts, and excludes of 1 to 480 parts."""
    names = [f"model.layers.{number}" + ".a" * 477 for number in range(n)]
    rows = [row for name in names for row in fp8(name, 64, 64)]
    patterns = ["b" + ".a" * number for number in range(480)]
    write(directory, {"quant_algo": "FP8", "ignore": patterns}, rows)


def targets(directory: Path, n: int) -> None:
    """n targets that name no module."""
    names = [f"model.layers.{number}.mlp.w{number % 97}_proj{number}" for number in range(n)]
    groups = {"group_0": {"targets": names, "weights": {"num_bits": 8}}}
    write(directory, {"quant_algo": "FP8", "config_groups": groups})


def modules(directory: Path, n: int) -> None:
    """n modules, each with its entry."""
    layers = n // len(PARTS)
    names = [f"model.layers.{layer}.{part}" for layer in range(layers) for part in PARTS]
    entries = {name: {"quant_algo": "FP8"} for name in names}
    quantization = {"quant_algo": "MIXED_PRECISION", "quantized_layers": entries}
    write(directory, quantization, list(dense_rows(layers)))


def experts(directory: Path, n: int) -> None:
    """n experts in banks of 32, one module of each excluded by its name."""
    banks = [f"model.layers.{layer}.mlp.experts" for layer in range(n // 32)]
    every = [f"{bank}.{expert}" for bank in banks for expert in range(32)]
    parts = ("gate_proj", "up_proj", "down_proj")
    rows = [row for name in every for part in parts for row in nvfp4(f"{name}.{part}", 64, 64)]
    rows += [
        *OUTSIDE,
        *((f"{bank.removesuffix('experts')}gate.weight", "BF16", (32, 64)) for bank in banks),
    ]
    ignore = [f"{name}.up_proj" for name in every]
    quantization = {"quant_algo": "NVFP4", "group_size": 16, "ignore": ignore}
    write(directory, quantization, rows, "Qwen3MoeForCausalLM")


def rules(kind: str, old: str) -> Make:
    """n rules of a mapper file over 600 names that match no module."""

    def make(directory: Path, n: int) -> None:
        naming(lambda number: f"model.layers.{number}.part{number}.x_proj")(directory, 600)
        made = (
            f"[[rules]]\nkind = '{kind}'\nold = '{old.format(number)}'\nnew = 'other{number}'\n"
            for number in range(n)
        )
        (directory / "rules.toml").write_text("".join(made))

    return make


def index(directory: Path, n: int) -> None:
    """n entries of the index that are all wrong."""
    write(directory, {"quant_algo": "FP8", "ignore": ["lm_head"]}, list(dense_rows(4)))
    names = (f"model.layers.{number}.mlp.up_proj.weight" for number in range(10, n))
    weight_map = dict.fromkeys(names, "model.safetensors")
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
