"""Which shard files count, as vLLM 0.33.0 and SGLang 0.5.23 take them.

The real loaders load what is a yes here. vLLM stops at the stray tensor, SGLang passes over it.
What each reads of `consolidated*.safetensors` was seen with both, on copies of the same fixture.
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


OWN = "consolidated.safetensors"
ALL, RENAMED = "all tensors", "names of another format"
PART, REST = "no down_proj of layer 1", "only that"


def holding(data: bytes, kind: str) -> bytes:
    """A shard file with some of the tensors of another, or all of them under other names."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header.pop("__metadata__", None)
    kept = {k: (v["dtype"], tuple(v["shape"])) for k, v in header.items()}
    if kind in (PART, REST):
        is_rest = kind == REST
        kept = {k: v for k, v in kept.items() if ("layers.1.mlp.down_proj" in k) is is_rest}
    if kind == RENAMED:
        kept = {k.replace("model.", ""): v for k, v in kept.items()}
    return safetensors_bytes(kept)


@pytest.mark.parametrize(
    ("own", "theirs", "has_index", "vllm", "sglang"),
    [
        (ALL, ALL, False, "yes", "yes"),
        (PART, ALL, False, "no", "yes"),
        (PART, ALL, True, "no", "yes"),
        (RENAMED, ALL, False, "no", "yes"),
        (ALL, PART, False, "yes", "no"),
        (ALL, PART, True, "yes", "no"),
    ],
)
def test_vllm_reads_mistrals_shard_files_alone_whatever_the_config_is(
    own: str, theirs: str, *, has_index: bool, vllm: str, sglang: str, copy_of: CopyOf
) -> None:
    directory = copy_of("llama-fp8-kv8")
    whole = (directory / "model.safetensors").read_bytes()
    (directory / OWN).write_bytes(holding(whole, own))
    (directory / "model.safetensors").write_bytes(holding(whole, theirs))
    if has_index:
        index = {"weight_map": {NORM: "model.safetensors"}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert loads(directory) == {"vllm": vllm, "sglang": sglang}


def test_sglang_reads_mistrals_shard_files_too_beside_more_than_one(copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    whole = (directory / "model.safetensors").read_bytes()
    (directory / OWN).write_bytes(holding(whole, RENAMED))
    assert loads(directory)["sglang"] == "yes"
    (directory / "modelx.safetensors").write_bytes(norm(64))
    assert loads(directory)["sglang"] == "no"


@pytest.mark.parametrize(
    ("name", "sglang"), [("model-x.safetensors", "yes"), ("mtp.safetensors", "no")]
)
def test_sglang_reads_them_alone_where_no_file_is_called_model(
    name: str, sglang: str, copy_of: CopyOf
) -> None:
    directory = copy_of("llama-fp8-kv8")
    whole = directory / "model.safetensors"
    (directory / OWN).write_bytes(holding(whole.read_bytes(), PART))
    whole.rename(directory / name)
    assert loads(directory) == {"vllm": "no", "sglang": sglang}
    [old] = ckptfix.check(directory, runtimes=["sglang==0.5.11"]).runtimes
    assert str(old.loads.value) == "yes"


def test_only_the_rows_of_their_own_index_choose_among_mistrals_files(copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    whole = directory / "model.safetensors"
    parts = [f"consolidated-0000{n}-of-00002.safetensors" for n in (1, 2)]
    (directory / parts[0]).write_bytes(holding(whole.read_bytes(), PART))
    (directory / parts[1]).write_bytes(holding(whole.read_bytes(), REST))
    whole.unlink()
    assert loads(directory) == {"vllm": "yes", "sglang": "yes"}
    index = {"weight_map": dict.fromkeys((NORM,), parts[0])}
    (directory / "consolidated.safetensors.index.json").write_text(json.dumps(index))
    assert loads(directory) == {"vllm": "no", "sglang": "no"}


@pytest.mark.parametrize("has_index", [False, True])
def test_a_tensor_with_two_shapes_is_refused(has_index: bool, copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    (directory / "other.safetensors").write_bytes(norm(8))
    if has_index:
        index = {"weight_map": {NORM: "model.safetensors", "x": "other.safetensors"}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CkptfixError, match=r"also stored in model\.safetensors"):
        ckptfix.check(directory)
