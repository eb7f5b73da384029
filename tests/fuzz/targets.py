"""What is fuzzed: one hostile file in a good checkpoint, and the commands that read it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from tests.builders import bf16, fp8, mixed, nvfp4, safetensors_bytes
from tests.fuzz.guard import CANARY
from tests.fuzz.inputs import json_files, shard_files, text_files, texts

CORPUS: Final = Path(__file__).parent / "corpus"
_AT: Final = "language_model.backbone.layers.{}.mixer"
TENSORS: Final = {
    **fp8(f"{_AT.format(0)}.in_proj"),
    **nvfp4(f"{_AT.format(1)}.up_proj"),
    **bf16("language_model.lm_head"),
    **bf16("language_model.backbone.embeddings"),
}
_LAYERS: Final = {f"{_AT.format(0)}.in_proj": "FP8", f"{_AT.format(1)}.up_proj": "NVFP4"}
_QUANTIZATION: Final = mixed(
    _LAYERS, producer={"name": "modelopt", "version": "0.47.0"}, kv_cache_quant_algo="FP8"
)
_CONFIG: Final = {
    "architectures": ["NemotronH_Nano_VL_V2"],
    "llm_config": {"architectures": ["NemotronHForCausalLM"], "num_hidden_layers": 2},
    "quantization_config": {
        **_QUANTIZATION,
        "quant_method": "modelopt",
        "ignore": ["language_model.lm_head", "vision_model*"],
        "kv_cache_scheme": {"num_bits": 8, "type": "float", "dynamic": False},
        "config_groups": {
            "group_0": {"targets": list(_LAYERS), "weights": {"num_bits": 8, "group_size": None}}
        },
    },
}
_INDEX: Final = {
    "metadata": {"total_size": 1},
    "weight_map": dict.fromkeys(TENSORS, "model.safetensors"),
}
GOOD: Final[Mapping[str, bytes]] = {
    "config.json": json.dumps(_CONFIG, indent=2).encode(),
    "hf_quant_config.json": json.dumps(
        {"quantization": {**_QUANTIZATION, "exclude_modules": ["lm_head"]}}
    ).encode(),
    "model.safetensors": safetensors_bytes(TENSORS),
}
_LINKS: Final = {
    "out.safetensors": "../canary.json",
    "loop-a.safetensors": "loop-b.safetensors",
    "loop-b.safetensors": "loop-a.safetensors",
    "gone.safetensors": "nowhere",
    "again.safetensors": "model.safetensors",
    "etc.safetensors": "/etc/passwd",
}
_TRANSACTION: Final = {
    "version": 1,
    "files": [
        {"file": "config.json", "before": "0" * 64, "after": "1" * 64, "original": "0" * 64}
        | {"mode": 420}
    ],
    "undo": False,
    "shards": [
        {"file": "model.safetensors", "before": "2" * 64, "after": "3" * 64, "original": "2" * 64}
        | {"data_bytes": 100, "mode": 420, "mtime_ns": 5}
    ],
}

READING: Final = (
    ("check",), ("check", "--verbose"), ("check", "--json"), ("check", "--format", "sarif"),
    ("check", "--format", "github"), ("check", "--format", "junit"), ("inspect",),
    ("check", "--runtime", "vllm", "--runtime", "sglang"), ("inspect", "--json"),
    ("check", "--json", "--runtime", "vllm==0.17.1", "--runtime", "sglang==0.5.23"),
)  # fmt: skip
PLANNING: Final = (
    ("rewrite", "--dry-run"), ("rewrite", "--dry-run", "--from-tensors"),
    ("rewrite", "--dry-run", "--tensors", "--map", "model=m"),
    ("rewrite", "--dry-run", "--strategy", "alias", "--runtime", "vllm==0.17.1"),
)  # fmt: skip
WRITING: Final = (
    ("rewrite",), ("rewrite", "--from-tensors"), ("rewrite", "--forget"), ("rewrite", "--undo"),
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A file that a stranger wrote."""

    file: str
    """Where it lies in the checkpoint; empty: its lines are arguments."""
    good: bytes
    """What it looks like when nobody is hostile."""
    commands: Sequence[Sequence[str]]
    kind: str = "json"

    def inputs(self, name: str) -> st.SearchStrategy[bytes]:
        """Any content for the file."""
        seeds = (self.good, *corpus(name).values())
        match self.kind:
            case "shard":
                length = int.from_bytes(self.good[:8], "little")
                return shard_files(seeds, self.good[8 : 8 + length].decode())
            case "lines":
                quoted = texts.map(lambda text: f"old = {json.dumps(text)}")
                return text_files(seeds, texts | quoted)
            case _:
                return json_files(seeds, self.good.decode())


_MAPPER: Final = b"""[[rules]]
kind = "regex"
old = "backbone\\\\.(layers)"
new = "model.\\\\1"

[[rules]]
kind = "prefix"
old = "mtp"
drop = true
"""
_SETTINGS: Final = b"""runtimes = ["vllm==0.33.0", "sglang"]
select = ["CKF1"]
ignore = ["CKF101"]
fail-on = "error"
[per-path-ignores]
"models/*" = ["CKF2"]
"""

TARGETS: Final[Mapping[str, Target]] = {
    "header": Target("model.safetensors", GOOD["model.safetensors"], READING + PLANNING, "shard"),
    "index": Target(
        "model.safetensors.index.json", json.dumps(_INDEX).encode(), READING + PLANNING
    ),
    "config": Target("config.json", GOOD["config.json"], READING + PLANNING + WRITING),
    "hf_quant_config": Target(
        "hf_quant_config.json", GOOD["hf_quant_config.json"], READING + PLANNING + WRITING
    ),
    "quant_cfg": Target(
        "quant_cfg.json", json.dumps(_QUANTIZATION).encode(), READING + PLANNING + WRITING
    ),
    "mapper": Target(
        "rules.toml",
        _MAPPER,
        [(*command, "--mapper", "rules.toml") for command in (("check",), *PLANNING)],
        "lines",
    ),
    "settings": Target("ckptfix.toml", _SETTINGS, READING[:6], "lines"),
    "journal": Target(
        ".ckptfix/journal.json", json.dumps(_TRANSACTION).encode(), (("check",), *WRITING)
    ),
    "undo": Target(".ckptfix/undo.json", json.dumps(_TRANSACTION).encode(), WRITING),
    "arguments": Target("", b"--runtime\nvllm>=0.20\n--map\na=b", (("check",), *PLANNING), "lines"),
}


@cache
def corpus(name: str) -> dict[str, bytes]:
    """The seeds of a target that are kept: inputs that once found something, and known evils."""
    folder = CORPUS / name
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def lay_out(folder: Path, name: str, data: bytes) -> None:
    """A good checkpoint in `folder`, but for the hostile file, and canaries next to it."""
    folder.mkdir(parents=True)
    (folder.parent / "canary.json").write_text(json.dumps({CANARY: CANARY}))
    files = dict(GOOD)
    target = TARGETS[name]
    if target.file:
        files[target.file] = data
    for file, content in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)
    if name == "index":
        for link, goal in _LINKS.items():
            (folder / link).symlink_to(goal)
        (folder / "folder.safetensors").mkdir()
        os.mkfifo(folder / "fifo.safetensors")


def arguments_for(name: str, data: bytes, command: Sequence[str]) -> list[str]:
    """The command line, run in the checkpoint itself."""
    verb, *options = command
    if TARGETS[name].file:
        return [verb, ".", *options]
    words = data.decode("utf-8", "replace").replace("\x00", "").split("\n")
    return [verb, ".", *options, *words[:8]]
