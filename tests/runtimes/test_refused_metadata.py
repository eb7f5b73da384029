"""Classes that stop at the metadata itself: SGLang 0.5.23 did so with each of these."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask

RELEASE = "sglang==0.5.23"
LINES = exports("architectures")


def reasons(line: dict[str, Any], tmp_path: Path) -> str:
    return "; ".join(ask(write(line, tmp_path / "m"), (RELEASE,))[RELEASE].reasons)


@pytest.mark.parametrize(
    "slug", ["GraniteMoeHybridForCausalLM-uncached", "GPTJForCausalLM-uncached"]
)
def test_metadata_of_modelopt_stops_it(slug: str, tmp_path: Path) -> None:
    assert "get_cache_scale" in reasons(LINES[slug], tmp_path)


def test_that_of_compressed_tensors_does_not(tmp_path: Path) -> None:
    line = LINES["GraniteMoeHybridForCausalLM-uncached"]
    config = json.loads(line["files"]["config.json"])
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {},
        "ignore": [],
    }
    changed = {**line, "files": {"config.json": json.dumps(config)}}
    assert "get_cache_scale" not in reasons(changed, tmp_path)
