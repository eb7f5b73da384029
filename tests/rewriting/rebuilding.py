"""Rebuilds for tests, and what is wrong afterwards."""

import json
from pathlib import Path
from typing import Any

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.rewriting.plan import rewritten
from ckptfix.rewriting.rebuild.plan import plan_rebuild
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import choose_name_map
from ckptfix.runtimes.releases import known_targets
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, write_checkpoint
from tests.conftest import load

KV_ONLY = "llama-kv8-only"
"""Nothing in it is quantized but the KV cache, and no release takes what ModelOpt says of it."""


def rebuilt(directory: Path) -> Checkpoint:
    checkpoint = load(directory)
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    return rewritten(checkpoint, plan_rebuild(checkpoint, name_map))


def verdicts(checkpoint: Checkpoint) -> dict[str, object]:
    judged = [judge(checkpoint, target) for target in known_targets(checkpoint)]
    return {
        str(v.target): v.refused or {m.name: (m.stored, m.resolved) for m in v.modules}
        for v in judged
    }


def codes(checkpoint: Checkpoint) -> set[str]:
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    return {finding.code for finding in find_all(checkpoint, name_map)}


def forget_metadata(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    config.pop("quantization_config", None)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    for file in ("hf_quant_config.json", "quant_cfg.json"):
        (directory / file).unlink(missing_ok=True)


def llama(directory: Path, tensors: Shapes, quantization: dict[str, Any] | None) -> Path:
    tied = {"tie_word_embeddings": True}
    return write_checkpoint(directory, tensors, quantization, extra_config=tied)


def quantization_of(checkpoint: Checkpoint) -> Any:
    return checkpoint.documents["config.json"].value["quantization_config"]
