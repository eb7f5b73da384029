"""Which shard files count, as vLLM 0.33.0 and SGLang 0.5.23 take them.

The real loaders load what is a yes here. vLLM stops at the stray tensor, SGLang passes over it.
"""

import json
from pathlib import Path

import pytest

import ckptfix
from ckptfix.errors import CkptfixError
from tests.builders import bf16, safetensors_bytes
from tests.conftest import CopyOf

NEWEST = ("vllm==0.33.0", "sglang==0.5.23")
NORM = "model.norm.weight"


def loads(directory: Path) -> dict[str, str]:
    checked = ckptfix.check(directory, runtimes=NEWEST)
    return {release.runtime: str(release.loads.value) for release in checked.runtimes}


def norm(size: int) -> bytes:
    return safetensors_bytes({NORM: ("BF16", (size,))})


def test_a_row_of_the_index_that_no_file_has_stops_nothing(copy_of: CopyOf) -> None:
    directory = copy_of("nanovl-mixed-sharded-split")
    index = directory / "model.safetensors.index.json"
    before = loads(directory)
    assert before["vllm"] == "yes"
    changed = json.loads(index.read_text())
    changed["weight_map"]["language_model.ghost.weight"] = next(
        iter(changed["weight_map"].values())
    )
    index.write_text(json.dumps(changed))
    assert loads(directory) == before
    assert [f.code for f in ckptfix.check(directory).findings if f.subject.endswith("ghost.weight")]


def test_every_file_counts_where_there_is_no_index(copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    before = loads(directory)
    stray = safetensors_bytes(bf16("base_model.layers.0.lora_A", 8))
    (directory / "adapter_model.safetensors").write_bytes(stray)
    assert (before["vllm"], loads(directory)["vllm"]) == ("yes", "no")


def test_equal_copies_beside_the_whole_checkpoint_count_once(copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    before = loads(directory)
    whole = (directory / "model.safetensors").read_bytes()
    (directory / "model-00001-of-00002.safetensors").write_bytes(whole)
    assert loads(directory) == before


@pytest.mark.parametrize("has_index", [False, True])
def test_a_tensor_with_two_shapes_is_refused(has_index: bool, copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    (directory / "other.safetensors").write_bytes(norm(8))
    if has_index:
        index = {"weight_map": {NORM: "model.safetensors", "x": "other.safetensors"}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CkptfixError, match=r"also stored in model\.safetensors"):
        ckptfix.check(directory)
