"""Small exports of every architecture that both the library and a runtime build.

Recorded by `tools/record_architectures.py`: the configs are the transformers library's own, the
weights zeros, what the runtimes did is real.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import contradictions, exports
from tests.cases.packed import write
from tests.replay import ask

LINES = exports("architectures")
_LAYER = re.compile(r"(.*(?:layers|h|blocks|block))\.(\d+)\.")


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    wrong = contradictions(LINES[slug], tmp_path)
    assert not wrong, wrong


WHOLE = [
    (slug, release)
    for slug, line in sorted(LINES.items())
    for release, done in line["runtimes"].items()
    if done["loads"] and slug.endswith("-nvfp4")
]


@pytest.mark.parametrize(("slug", "release"), WHOLE)
def test_a_lost_layer_is_never_a_yes(slug: str, release: str, tmp_path: Path) -> None:
    line = without_last_layer(LINES[slug])
    answer = ask(write(line, tmp_path / slug), (release,))[release].answer
    assert answer != "yes"


UNBIASED = [
    ("Gemma2ForCausalLM-mixed", "model.layers.0.self_attn.o_proj"),
    ("Qwen3NextForCausalLM-nvfp4", "model.layers.0.linear_attn.out_proj"),
]
"""(Export, module whose class has `bias=False` with its config)."""


@pytest.mark.parametrize(("slug", "module"), UNBIASED)
def test_a_bias_that_the_class_does_not_build_is_never_a_yes(
    slug: str, module: str, tmp_path: Path
) -> None:
    line = LINES[slug]
    (file, (text, length)), *_ = line["shards"].items()
    header = json.loads(text)
    rows = header[f"{module}.weight"]["shape"][0]
    offsets = [length, length + 2 * rows]
    bias = {"dtype": "BF16", "shape": [rows], "data_offsets": offsets}
    shards = {file: (json.dumps({**header, f"{module}.bias": bias}), offsets[1])}
    release = "vllm==0.33.0"
    assert ask(write(line, tmp_path / "whole"), (release,))[release].answer == "yes"
    got = ask(write({**line, "shards": shards}, tmp_path / "biased"), (release,))[release]
    assert got.answer == "no"
    assert f"{module}.bias" in " ".join(got.reasons)


TIED = {
    "Ernie4_5ForCausalLM-nvfp4": "no",
    "Ernie4_5_MoeForCausalLM-nvfp4": "no",
    "GemmaForCausalLM-nvfp4": "no",
    "SmolLM3ForCausalLM-nvfp4": "no",
    "Starcoder2ForCausalLM-nvfp4": "no",
    "VaultGemmaForCausalLM-nvfp4": "no",
    "CohereForCausalLM-nvfp4": "yes",
    "Cohere2ForCausalLM-nvfp4": "yes",
}
"""Export with tied embeddings -> whether vLLM 0.33.0 loads it when nothing excludes the head.

Its loader finds the scale of the head never loaded; Cohere's classes build no head.
"""


@pytest.mark.parametrize("slug", TIED)
def test_a_tied_head_that_nothing_excludes_is_quantized(slug: str, tmp_path: Path) -> None:
    line = LINES[slug]
    files = {
        name: text.replace('"lm_head"', '"no_such_module"') for name, text in line["files"].items()
    }
    release = "vllm==0.33.0"
    assert ask(write(line, tmp_path / "whole"), (release,))[release].answer == "yes"
    got = ask(write({**line, "files": files}, tmp_path / "included"), (release,))[release]
    assert got.answer == TIED[slug]


OLDER = [
    ("Exaone4ForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("Gemma2ForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("GraniteForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("MixtralForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("Qwen2MoeForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("Qwen2ForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("Qwen2ForCausalLM-nvfp4", "vllm==0.23.0", "vllm==0.22.1"),
    ("Qwen3ForCausalLM-nvfp4", "vllm==0.24.0", "vllm==0.25.0"),
    ("Qwen3ForCausalLM-nvfp4", "vllm==0.23.0", "vllm==0.22.1"),
    ("Qwen2_5_VLForConditionalGeneration-nvfp4", "vllm==0.23.0", "vllm==0.22.1"),
    ("Qwen3VLForConditionalGeneration-nvfp4", "vllm==0.23.0", "vllm==0.22.1"),
    ("ExaoneMoeForCausalLM-mixed", "vllm==0.30.0", "vllm==0.33.0"),
    ("Gemma3ForCausalLM-nvfp4", "sglang==0.5.10", "sglang==0.5.14"),
]
"""(Export, a release whose loader stops at it, one whose loader does not)."""


@pytest.mark.parametrize(("slug", "stops", "loads"), OLDER)
def test_an_older_release_is_answered_as_its_loader_behaved(
    slug: str, stops: str, loads: str, tmp_path: Path
) -> None:
    got = ask(write(LINES[slug], tmp_path / slug), (stops, loads))
    assert [got[release].answer for release in (stops, loads)] == ["no", "yes"]


def test_what_changed_between_two_learned_releases_is_unknown_between_them(tmp_path: Path) -> None:
    """Gemma 3 in SGLang stops at scales of a KV cache in 0.5.10, and loads them in 0.5.14."""
    between = "sglang==0.5.12"
    [got] = ask(write(LINES["Gemma3ForCausalLM-nvfp4"], tmp_path / "m"), (between,)).values()
    assert got.answer == "unknown"


def test_lfm2_has_no_parameter_for_scales_of_a_kv_cache(tmp_path: Path) -> None:
    """The loader of vLLM 0.33.0 stopped at the export with `block_dim`, which LFM2's files have."""
    line = LINES["Lfm2ForCausalLM-nvfp4"]
    config = json.loads(line["files"]["config.json"])
    config["block_dim"] = config["hidden_size"]
    files = {**line["files"], "config.json": json.dumps(config)}
    release = "vllm==0.33.0"
    got = ask(write({**line, "files": files}, tmp_path / "m"), (release,))[release]
    assert got.answer == "no"
    assert "k_scale" in " ".join(got.reasons)


def without_last_layer(line: dict[str, Any]) -> dict[str, Any]:
    """The same checkpoint without the tensors of its last layer."""
    (file, (text, length)), *_ = line["shards"].items()
    header = json.loads(text)
    found = [(int(m[2]), m[1]) for name in header if (m := _LAYER.match(name))]
    last = "{1}.{0}.".format(*max(found, key=lambda layer: layer[0]))
    kept = {name: entry for name, entry in header.items() if not name.startswith(last)}
    return {**line, "shards": {file: (json.dumps(kept), length)}}
