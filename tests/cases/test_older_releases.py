"""What older releases are said to do with a config.json that the newest one stops at.

Values of config.json were tried on the newest release only, whichever quantizer wrote the metadata.
"""

import json
import shutil
from pathlib import Path

import pytest

from ckptfix.operations.loading import load
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.conftest import DATA

NEWEST = Target("vllm", "0.33.0", "0.33.0")


@pytest.mark.parametrize("older", ["0.28.0", "0.30.0"])
def test_an_older_release_is_unknown_where_the_newest_stops(older: str, tmp_path: Path) -> None:
    directory = tmp_path / "checkpoint"
    shutil.copytree(DATA / "quantizers/ct-qwen3moe-mixed", directory)
    target = Target("vllm", older, older)
    assert judge(load(str(directory)), target).loads.answer == "yes"
    path = directory / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"moe_intermediate_size": None}))
    changed = load(str(directory))
    assert judge(changed, NEWEST).loads.answer == "no"
    loads = judge(changed, target).loads
    assert loads.answer == "unknown"
    assert "moe_intermediate_size of config.json is null" in loads.unknown_because
