"""Exports of `test_architectures.py` with a stored table of the rotary embedding.

`tests/data/rotary_tables.json` has the name of the table, the tensor that it is stored after, and
what each release did with the checkpoint.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import contradictions, exports
from tests.conftest import DATA

CASES: list[dict[str, Any]] = json.loads((DATA / "rotary_tables.json").read_text())
EXPORTS = exports("architectures")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['export']}-{case['table']}")
def test_no_answer_contradicts_what_a_release_did(case: dict[str, Any], tmp_path: Path) -> None:
    line = EXPORTS[case["export"]]
    shards = {}
    for file, (text, length) in line["shards"].items():
        header, end = json.loads(text), length
        if case["after"] in header:
            end += 64
            span = [length, end]
            header[case["table"]] = {"dtype": "F32", "shape": [16], "data_offsets": span}
        shards[file] = json.dumps(header), end
    wrong = contradictions({**line, "shards": shards, "runtimes": case["runtimes"]}, tmp_path)
    assert not wrong, wrong
