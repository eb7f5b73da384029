"""How many blocks of a tower a class was learned to build, compared with what is stored."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask

EXPORTS = exports("architectures")
VLLM: Final = "vllm==0.33.0"
BLOCKS: Final = {
    "Exaone4_5_": ("depth", "model.visual.blocks"),
    "GlmOcr": ("depth", "model.visual.blocks"),
    "Idefics3": ("num_hidden_layers", "model.vision_model.encoder.layers"),
}


def without(lost: str, header: str) -> tuple[str, int]:
    """A header without some tensors, and the length of what it describes."""
    kept: dict[str, Any] = {}
    end = 0
    for name, tensor in json.loads(header).items():
        if name == "__metadata__" or (lost and re.fullmatch(lost, name)):
            continue
        first, last = tensor["data_offsets"]
        kept[name] = tensor | {"data_offsets": [end, end + last - first]}
        end += last - first
    return json.dumps(kept), end


def answer(wrapper: str, folder: Path, lost: str = "", /, **changed: Any) -> tuple[str, str]:
    """The answer, and its first reason, for an export with other values in vision_config.

    Args:
        wrapper: start of the architecture.
        folder: where the export is written to.
        lost: pattern of tensors that are left out.
        changed: key -> value; `...` for none.
    """
    line = EXPORTS[f"{wrapper}ForConditionalGeneration-nvfp4"]
    config = json.loads(line["files"]["config.json"])
    for key, value in changed.items():
        config["vision_config"].pop(key, None)
        if value is not ...:
            config["vision_config"][key] = value
    shards = {name: without(lost, header) for name, (header, _) in line["shards"].items()}
    files = {**line["files"], "config.json": json.dumps(config)}
    got = ask(write({**line, "files": files, "shards": shards}, folder), (VLLM,))[VLLM]
    return got.answer, next(iter(got.reasons), "")


@pytest.mark.parametrize("wrapper", sorted(BLOCKS))
def test_the_number_of_blocks_is_that_of_config_json_or_of_its_class(
    wrapper: str, tmp_path: Path
) -> None:
    key, blocks = BLOCKS[wrapper]
    assert answer(wrapper, tmp_path / "whole") == ("yes", "")
    said, why = answer(wrapper, tmp_path / "default", **{key: ...})
    assert said == "no"
    assert f"{blocks}.4 is not stored, but vision_config.{key} is " in why
    said, why = answer(wrapper, tmp_path / "less", **{key: 3})
    assert (said, why.partition(": ")[2]) == ("no", f"vision_config.{key} is 3")


@pytest.mark.parametrize("wrapper", sorted(BLOCKS))
def test_a_block_without_a_part_that_others_have_is_no_yes(wrapper: str, tmp_path: Path) -> None:
    _, blocks = BLOCKS[wrapper]
    block = re.escape(f"{blocks}.2.")
    for number, part in enumerate((".*", "[^.]*norm1.*", "mlp.*bias")):
        assert answer(wrapper, tmp_path / str(number), block + part)[0] != "yes"


@pytest.mark.parametrize("value", [None, ...], ids=["null", "missing"])
def test_a_tower_that_its_type_names_has_the_default_type_where_none_is_there(
    value: Any, tmp_path: Path
) -> None:
    said = answer("Exaone4_5_", tmp_path / "m", model_type=value)
    refused = (
        "stops: vision_config.model_type of config.json is null, which its config class refuses"
    )
    assert said == (("yes", "") if value is ... else ("no", refused))
