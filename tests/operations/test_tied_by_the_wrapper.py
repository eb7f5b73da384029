"""A head that only the config around the language model's ties, and that is not stored."""

import json
from pathlib import Path

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import Call

VLLM = "vllm==0.33.0"


def wrapped(folder: Path) -> Path:
    """As the real vLLM 0.33.0 loads it: the head is excluded, though there is none."""
    write(exports("architectures")["Mistral3ForConditionalGeneration-nvfp4"], folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    ties = config["tie_word_embeddings"], config["text_config"]["tie_word_embeddings"]
    assert ties == (True, False)
    return folder


def test_its_name_in_the_skip_list_is_no_fault(call: Call, tmp_path: Path) -> None:
    done = call("check", wrapped(tmp_path / "c"), "--runtime", VLLM)
    assert done.returncode == 0, done.stdout
    assert "rewrite" not in done.stdout


def test_a_rewrite_from_the_tensors_keeps_it(call: Call, tmp_path: Path) -> None:
    """Without it vLLM builds the head in NVFP4, and nothing fills it."""
    folder = wrapped(tmp_path / "c")
    call("rewrite", folder, "--from-tensors")
    done = call("check", folder, "--runtime", VLLM)
    assert done.returncode == 0, done.stdout
