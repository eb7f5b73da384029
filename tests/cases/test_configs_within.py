"""A config within config.json that is missing, or holds what its own class refuses.

Both real loaders were asked about each: none of them loads.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask

EXPORTS = exports("architectures")
WRAPPERS: Final = ("Exaone4_5_", "GlmOcr", "Idefics3")
NEWEST: Final = ("vllm==0.33.0",)


def answer(wrapper: str, folder: Path, **changed: Any) -> str:
    line = EXPORTS[f"{wrapper}ForConditionalGeneration-nvfp4"]
    config = json.loads(line["files"]["config.json"])
    for key, value in changed.items():
        config[key] = config[key] | value if value else value
    files = {**line["files"], "config.json": json.dumps(config)}
    return ask(write({**line, "files": files}, folder), NEWEST)[NEWEST[0]].answer


@pytest.mark.parametrize("value", [None, {}], ids=["null", "empty"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_tower_or_a_language_model_of_default_size_is_no_yes(
    wrapper: str, value: Any, tmp_path: Path
) -> None:
    """Its class makes one up, which has more blocks than are stored, or is larger."""
    assert answer(wrapper, tmp_path / "whole") == "yes"
    for key in ("vision_config", "text_config"):
        assert answer(wrapper, tmp_path / key, **{key: value}) != "yes"


@pytest.mark.parametrize("key", ["hidden_size", "depth", "intermediate_size", "num_heads"])
def test_what_the_class_of_a_tower_refuses_stops_its_wrapper(key: str, tmp_path: Path) -> None:
    assert answer("Exaone4_5_", tmp_path / "m", vision_config={key: None}) == "no"
