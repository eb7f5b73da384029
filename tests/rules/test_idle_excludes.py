"""Exclude patterns that no release applies do not exclude anything.

The real loaders of vLLM 0.33.0 and SGLang 0.5.23 load the first two; they stop at the third, whose
head they build quantized.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.packed import unpack
from tests.conftest import Call

NEWEST = ("--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")
REGEX = "re:.*mlp.*"


def declared(directory: Path, **changed: object) -> Path:
    """A Llama in NVFP4 with other fields in the object of its config.json."""
    file = unpack("control-llama-nvfp4", directory) / "config.json"
    config = json.loads(file.read_text())
    config["quantization_config"] |= changed
    file.write_text(json.dumps(config, indent=1))
    return directory


def checked(call: Call, directory: Path) -> tuple[set[str], dict[str, Any]]:
    """Answers of the newest releases, and code -> subjects of the findings."""
    [one] = json.loads(call("check", directory, *NEWEST, "--json").stdout)["checkpoints"]
    found: dict[str, list[str]] = {}
    for finding in one["findings"]:
        found.setdefault(finding["code"], []).append(finding["subject"])
    return {runtime["loads"] for runtime in one["runtimes"]}, found


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ignore": ["lm_head", "model.embed_tokens", REGEX]}, {"CKF103": [REGEX]}),
        ({"exclude_modules": ["lm_head", "*self_attn*", "gate", "re:.*self_attn.*"]}, {}),
    ],
)
def test_what_no_release_reads_is_no_fault_of_the_modules_that_it_names(
    changed: dict[str, Any], expected: dict[str, Any], call: Call, tmp_path: Path
) -> None:
    assert checked(call, declared(tmp_path / "c", **changed)) == ({"yes"}, expected)


def test_a_head_that_only_a_regular_expression_excludes_is_not_excluded(
    call: Call, tmp_path: Path
) -> None:
    directory = declared(tmp_path / "c", ignore=["re:.*lm_head"])
    answers, found = checked(call, directory)
    assert answers == {"no"}
    assert found["CKF206"] == ["lm_head"]
    assert call("rewrite", directory, "--from-tensors").returncode == 0
    assert checked(call, directory) == ({"yes"}, {})


def test_a_pattern_that_is_added_goes_into_the_list_that_is_read(
    call: Call, tmp_path: Path
) -> None:
    directory = declared(tmp_path / "c", ignore=[], exclude_modules=["lm_head"])
    assert checked(call, directory)[0] == {"no"}
    assert call("rewrite", directory, "--from-tensors").returncode == 0
    config = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert "lm_head" in config["ignore"]
    assert checked(call, directory)[0] == {"yes"}
