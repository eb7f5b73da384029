"""NVFP4 experts in SGLang 0.5.9 to 0.5.20, whose loaders did the same with each of these."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Shapes, nvfp4, write_checkpoint
from tests.cases.exports import exports
from tests.cases.packed import write
from tests.ling import ling
from tests.replay import ask

WITH_KV, PLAIN, MIXED = "nvfp4", "uncached", "mixed"
"""Styles of `tools/architecture_exports.py`."""


@pytest.mark.parametrize(
    ("architecture", "style", "answers"),
    [
        ("Ernie4_5_MoeForCausalLM", PLAIN, {"0.5.9": "no", "0.5.10": "yes", "0.5.17": "yes"}),
        ("Ernie4_5_MoeForCausalLM", WITH_KV, {"0.5.9": "no", "0.5.10": "no", "0.5.14": "no"}),
        ("Ernie4_5_MoeForCausalLM", MIXED, {"0.5.14": "no", "0.5.17": "yes", "0.5.20": "yes"}),
        ("Cohere2MoeForCausalLM", PLAIN, {"0.5.17": "yes", "0.5.20": "yes"}),
        ("Cohere2MoeForCausalLM", MIXED, {"0.5.17": "yes", "0.5.20": "yes"}),
        ("MellumForCausalLM", PLAIN, {"0.5.17": "yes", "0.5.20": "yes"}),
        ("OlmoeForCausalLM", WITH_KV, {"0.5.10": "no", "0.5.14": "no", "0.5.17": "no"}),
        ("OlmoeForCausalLM", MIXED, {"0.5.17": "no", "0.5.20": "no"}),
        ("Glm4vMoeForConditionalGeneration", PLAIN, {"0.5.10": "no", "0.5.17": "no"}),
    ],
)
def test_an_export(architecture: str, style: str, answers: dict[str, str], tmp_path: Path) -> None:
    folder = write(exports("architectures")[f"{architecture}-{style}"], tmp_path / "c")
    assert answered(folder, answers) == answers


@pytest.mark.parametrize(
    ("changes", "answer"),
    [({}, "yes"), ({"num_shared_experts": 2}, "yes"), ({"num_hidden_layers": 4}, "no")],
    ids=str,
)
def test_ling(
    changes: dict[str, object], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.ling.fp8", nvfp4)
    monkeypatch.setattr("tests.ling.write_checkpoint", as_nvfp4)
    folder = ling(tmp_path / "c", **changes)
    expected = dict.fromkeys(("0.5.10", "0.5.14", "0.5.20"), answer)
    assert answered(folder, expected) == expected


def as_nvfp4(directory: Path, tensors: Shapes, declared: dict[str, object], **rest: Any) -> Path:
    algo = {"quant_algo": "NVFP4", "group_size": 16}
    return write_checkpoint(directory, tensors, {**declared, **algo}, **rest)


def answered(folder: Path, versions: dict[str, str]) -> dict[str, str]:
    releases = tuple(f"sglang=={version}" for version in versions)
    got = ask(folder, releases)
    return {version: got[f"sglang=={version}"].answer for version in versions}


@pytest.mark.parametrize("release", ["vllm==0.33.0", "sglang==0.5.23", "sglang==0.5.14"])
def test_an_expert_fewer_than_ernie_declares_is_no_yes(release: str, tmp_path: Path) -> None:
    """`moe_num_experts` of config.json is their number; each bank has them all."""
    line = exports("architectures")["Ernie4_5_MoeForCausalLM-uncached"]
    config = json.loads(line["files"]["config.json"])
    config["moe_num_experts"] += 1
    changed = {**line, "files": {**line["files"], "config.json": json.dumps(config)}}
    assert ask(write(changed, tmp_path / "c"), (release,))[release].answer == "no"


@pytest.mark.parametrize("release", ["vllm==0.33.0", "sglang==0.5.23", "sglang==0.5.14"])
def test_a_bank_of_ernie_without_its_last_expert(release: str, tmp_path: Path) -> None:
    line = exports("architectures")["Ernie4_5_MoeForCausalLM-uncached"]
    shards = {
        name: without(text, "layers.1.mlp.experts.7.") for name, (text, _) in line["shards"].items()
    }
    folder = write({**line, "shards": shards}, tmp_path / "c")
    assert ask(folder, (release,))[release].answer == "no"


def without(header: str, part: str) -> tuple[str, int]:
    """The header and length of a shard without the tensors whose names have this part."""
    kept: dict[str, Any] = {}
    end = 0
    for name, tensor in json.loads(header).items():
        if name != "__metadata__" and part not in name:
            start, stop = tensor["data_offsets"]
            kept[name] = {**tensor, "data_offsets": [end, end := end + stop - start]}
    return json.dumps(kept), end
