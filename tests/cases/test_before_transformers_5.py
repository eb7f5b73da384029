"""vLLM before 0.19.1, which takes no transformers 5: what its loaders did with recorded exports.

Transformers 5.20 wrote their config.json. vLLM 0.15.0 and 0.18.0 were run with transformers 4.57.6.
"""

import json
from pathlib import Path

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask

LINES = exports("architectures")
BEFORE = "vllm==0.18.0"
SINCE = "vllm==0.19.1"

STOPS = {
    "Gemma3ForCausalLM-nvfp4": "rope_parameters",
    "Qwen2_5_VLForConditionalGeneration-nvfp4": "tie_word_embeddings",
    "Qwen3MoeForCausalLM-mixed": "num_local_experts",
}
"""Export that 0.18.0 does not load whole -> the key of config.json that it reads differently."""


@pytest.mark.parametrize("slug", STOPS)
def test_what_transformers_5_wrote_is_no_yes_for_a_release_that_takes_none(
    slug: str, tmp_path: Path
) -> None:
    got = ask(write(LINES[slug], tmp_path / slug), (BEFORE, SINCE))
    assert got[BEFORE].answer == "unknown"
    assert got[SINCE].answer == "yes"


@pytest.mark.parametrize("slug", STOPS)
def test_the_reason_names_the_release_that_wrote_it_and_the_key(slug: str, tmp_path: Path) -> None:
    got = ask(write(LINES[slug], tmp_path / slug), (BEFORE,))
    assert f"transformers 5.20.2 wrote {STOPS[slug]}" in " ".join(got[BEFORE].reasons)


def test_a_null_that_stops_the_newest_class_is_no_yes_for_an_older_one(tmp_path: Path) -> None:
    """vLLM 0.19.1 asserts n_group as well (vllm/model_executor/layers/fused_moe/layer.py)."""
    made = write(LINES["DeepseekV2ForCausalLM-nvfp4"], tmp_path / "m")
    newest = "vllm==0.33.0"
    got = ask(made, (BEFORE, SINCE, newest))
    assert [got[release].answer for release in (BEFORE, SINCE)] == ["unknown", "unknown"]
    assert got[newest].answer == "no"
    assert "n_group of config.json is null" in " ".join(got[newest].reasons)


def test_the_same_written_by_transformers_4_is_answered(tmp_path: Path) -> None:
    line = LINES["Gemma3ForCausalLM-nvfp4"]
    config = {**json.loads(line["files"]["config.json"]), "transformers_version": "4.57.1"}
    files = {**line["files"], "config.json": json.dumps(config)}
    made = write({**line, "files": files}, tmp_path / "older")
    assert ask(made, (BEFORE,))[BEFORE].answer == "yes"


LEARNED = {
    "ArceeForCausalLM-nvfp4": ("yes", "yes"),
    "ApertusForCausalLM-nvfp4": ("yes", "yes"),
    "GlmForCausalLM-nvfp4": ("yes", "yes"),
    "MambaForCausalLM-nvfp4": ("no", "no"),
    "GPT2LMHeadModel-nvfp4": ("no", "no"),
    "CwmForCausalLM-nvfp4": ("unknown", "unknown"),
}
"""Export -> answers for 0.15.0 and 0.18.0; the loaders do not know the model_type of Cwm."""


@pytest.mark.parametrize("slug", LEARNED)
def test_the_oldest_releases_are_answered_as_their_loaders_behaved(
    slug: str, tmp_path: Path
) -> None:
    releases = "vllm==0.15.0", BEFORE
    got = ask(write(LINES[slug], tmp_path / slug), releases)
    assert tuple(got[release].answer for release in releases) == LEARNED[slug]
