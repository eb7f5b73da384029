"""Mistral's own format: which of two formats a release reads, and what follows for each command."""

import json
from pathlib import Path

import pytest

import ckptfix
from tests.cases.packed import write
from tests.cases.test_mistral import CASES

VLLM, SGLANG = "vllm==0.33.0", "sglang==0.5.23"


def made(slug: str, folder: Path) -> Path:
    return write(CASES[slug], folder)


def answer(directory: Path, release: str) -> str:
    [verdict] = ckptfix.check(directory, runtimes=[release]).verdicts
    return str(verdict.loads.answer)


def said(directory: Path, release: str) -> str:
    [verdict] = ckptfix.check(directory, runtimes=[release]).verdicts
    return " | ".join((str(verdict.loads), *verdict.notes))


def test_of_two_formats_vllm_reads_mistrals_and_sglang_that_of_transformers(
    tmp_path: Path,
) -> None:
    own = made("both-own-broken", tmp_path / "own")
    theirs = made("both-theirs-broken", tmp_path / "theirs")
    assert (answer(own, VLLM), answer(own, SGLANG)) == ("no", "yes")
    assert (answer(theirs, VLLM), answer(theirs, SGLANG)) == ("yes", "no")


@pytest.mark.parametrize(
    ("slug", "release", "at", "config"),
    [
        ("both-own-broken", VLLM, "consolidated.safetensors", "params.json"),
        ("both-theirs-broken", SGLANG, "model.safetensors", "config.json"),
        ("dense-fp8-no-w2", VLLM, "consolidated.safetensors", "params.json"),
        ("dense-fp8-no-layer", VLLM, "params.json", "params.json"),
    ],
)
def test_a_finding_is_at_the_files_that_the_release_reads(
    slug: str, release: str, at: str, config: str, tmp_path: Path
) -> None:
    checked = ckptfix.check(made(slug, tmp_path / "m"), runtimes=[release])
    [found] = [finding for finding in checked.findings if finding.code == "CKF703"]
    assert found.place.file == at
    assert str(found.advice).endswith(f"make {config} match what is stored")


def test_the_command_that_reads_the_other_format_is_there_where_that_loads(tmp_path: Path) -> None:
    flags = "--config-format hf --load-format hf"
    own = made("both-own-broken", tmp_path / "own")
    assert flags not in said(own, VLLM)  # without an index, they read both shard files
    assert "move consolidated*.safetensors away" in said(own, VLLM)
    index = {"weight_map": {"model.norm.weight": "model.safetensors"}}
    (own / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"vllm serve {own} {flags}" in said(own, VLLM)
    assert flags not in said(made("both", tmp_path / "both"), VLLM)


def test_files_of_transformers_count_where_mistrals_weights_are_not_there(tmp_path: Path) -> None:
    directory = made("params-and-theirs", tmp_path / "theirs")
    assert (answer(directory, VLLM), answer(directory, SGLANG)) == ("yes", "yes")


@pytest.mark.parametrize(
    ("release", "option"), [(SGLANG, True), ("sglang==0.5.12", True), ("sglang==0.5.11", False)]
)
def test_sglang_reads_params_json_of_some_names_only(
    release: str, option: bool, tmp_path: Path
) -> None:
    unnamed = said(made("unnamed-large-nvfp4", tmp_path / "unnamed"), release)
    assert unnamed.startswith("no, stops while loading: there is no config.json")
    assert ("--model-config-parser mistral" in unnamed) is option
    named = said(made("mistral-large-3-nvfp4", tmp_path / "Mistral-Large-3-NVFP4"), release)
    reads = "how it lays out PixtralForConditionalGeneration"
    # The class was learned in the newest release, but not with compressed-tensors.
    metadata = "how this release reads metadata of compressed-tensors is not known"
    assert named.startswith(f"unknown, {metadata if release == SGLANG else reads}")


def test_sglang_stops_at_compressed_tensors_under_mistrals_own_key(tmp_path: Path) -> None:
    slug = "mistral-large-3-nvfp4-in-quantization"
    directory = made(slug, tmp_path / "Mistral-Large-3")
    assert (answer(directory, VLLM), answer(directory, SGLANG)) == ("yes", "no")
    assert "does not support the quantization in params.json" in said(directory, SGLANG)


@pytest.mark.parametrize(
    ("slug", "release", "loads"),
    [
        ("dense-fp8", "vllm==0.16.0", "unknown"),
        ("dense-fp8", "vllm==0.17.0", "yes"),
        ("small3-fp8", "vllm==0.19.1", "unknown"),
        ("small3-fp8", "vllm==0.20.0", "yes"),
        ("mistral-large-3-fp8", "vllm==0.32.0", "unknown"),
        ("mistral-large-3-text-fp8", "vllm==0.32.0", "unknown"),
        ("mistral-large-3-fp8", "vllm==0.33.0", "yes"),
    ],
)
def test_releases_whose_classes_were_not_read_are_unknown(
    slug: str, release: str, loads: str, tmp_path: Path
) -> None:
    assert answer(made(slug, tmp_path / "one"), release) == loads


def test_metadata_in_params_json_is_inspected_and_repaired(tmp_path: Path) -> None:
    directory = made("mistral-large-3-nvfp4-nothing-ignored", tmp_path / "one")
    [metadata] = ckptfix.inspect(directory).metadata
    assert (metadata.file, metadata.pointer) == ("params.json", "/quantization_config")
    before = json.loads((directory / "params.json").read_text())
    ckptfix.rewrite(directory, from_tensors=True, runtimes=[VLLM])
    after = json.loads((directory / "params.json").read_text())
    assert answer(directory, VLLM) == "yes"
    assert after["quantization_config"].pop("ignore")
    assert before["quantization_config"].pop("ignore") == []
    assert after == before
    assert not (directory / "config.json").exists()


def test_a_published_list_of_ignored_names_gives_no_finding(tmp_path: Path) -> None:
    for slug in ("mistral-large-3-nvfp4", "mistral-small-4-nvfp4"):
        result = ckptfix.check(made(slug, tmp_path / slug), runtimes=[VLLM])
        assert not result.findings


def test_scales_named_as_in_mistrals_format_are_unknown_to_other_classes(tmp_path: Path) -> None:
    case = CASES["config-of-theirs-only"]
    config = json.loads(case["files"]["config.json"])
    header, length = case["shards"]["consolidated.safetensors"]
    theirs = {
        "layers.": "model.layers.", "attention.w": "self_attn.", "feed_forward.w1": "mlp.gate_proj",
        "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "feed_forward.w2": "mlp.down_proj", "feed_forward.w3": "mlp.up_proj",
        "tok_embeddings": "model.embed_tokens", '"norm.': '"model.norm.', "output": "lm_head",
        **{f"self_attn.{x}.": f"self_attn.{x}_proj." for x in "qkvo"},
    }  # fmt: skip
    for old, new in theirs.items():
        header = header.replace(old, new)
    for name, loads in (("MistralForCausalLM", "yes"), ("LlamaForCausalLM", "no")):
        config["architectures"] = [name]
        made_of = {
            "files": {"config.json": json.dumps(config)},
            "shards": {"model.safetensors": [header, length]},
        }
        assert answer(write(made_of, tmp_path / name), VLLM) == loads
