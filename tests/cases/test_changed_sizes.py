"""Exports of `test_architectures.py` with another size in config.json or in a tensor.

Some have other rotary settings instead: a rotary embedding has no tensors, so that only values
which it cannot be made of do harm.

`tests/data/changed_sizes.json` has what a release did with each: whether every tensor was loaded
whole and filled what it should, and if not, why. `open` marks answers that are still wrong, because
the sizes of that class were not learned. With `cache` false the scales of an FP8 cache, which some
classes drop, are left out of the export.
`zeros` is of a part that is stored too short alone: SGLang fills it up without a word, and then the
rest of the layer, which is stored whole, is multiplied with zeros.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import changed
from tests.cases.packed import laid_out, write
from tests.cases.test_architectures import LINES
from tests.conftest import DATA
from tests.replay import ask, complaint

CHANGED: list[dict[str, Any]] = json.loads((DATA / "changed_sizes.json").read_text())
SCALES = (".k_scale", ".v_scale")


def _named(case: dict[str, Any]) -> str:
    change = case.get("config") or next(iter(case["shapes"]))
    return f"{case['export']}-{case['release']}-{change}"


def _parameter(case: dict[str, Any]) -> Any:
    marks = [pytest.mark.xfail(strict=True)] if case.get("open") else []
    return pytest.param(case, id=_named(case), marks=marks)


@pytest.mark.parametrize("case", [*map(_parameter, CHANGED)])
def test_no_answer_contradicts_what_a_release_did(case: dict[str, Any], tmp_path: Path) -> None:
    line, release = LINES[case["export"]], case["release"]
    line = line if case.get("cache", True) else _without_cache(line)
    line = changed(line, case.get("config", {}))
    shapes = case.get("shapes", {})
    shards = {
        name: laid_out(json.loads(text), shapes) for name, (text, _) in line["shards"].items()
    }
    got = ask(write({**line, "shards": shards}, tmp_path / "case"), (release,))
    if got[release].answer != "unknown":
        loads, why = case["loads"], case["why"]
        wrong = complaint(release, _named(case), "", loads=loads, why=why, got=got[release])
        assert not wrong, wrong


def _without_cache(line: dict[str, Any]) -> dict[str, Any]:
    """The export as if the cache were not quantized."""
    files = {name: json.loads(text) for name, text in line["files"].items()}
    files["config.json"]["quantization_config"].pop("kv_cache_scheme")
    files["hf_quant_config.json"]["quantization"]["kv_cache_quant_algo"] = None
    shards = {}
    for name, (text, length) in line["shards"].items():
        header = json.loads(text)
        kept = {key: entry for key, entry in header.items() if not key.endswith(SCALES)}
        shards[name] = (json.dumps(kept), length)
    texts = {name: json.dumps(found) for name, found in files.items()}
    return {**line, "files": texts, "shards": shards}
