"""Exports with a tensor too much, too little, under another name or of another shape.

`tests/data/altered.json` has what each release did with them: a stray of a class stops vLLM, is
passed over by SGLang, or is a parameter of a class nearby, and the same name is fine elsewhere.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.altered import altered, exported
from tests.cases.exports import contradictions
from tests.conftest import DATA

CASES: list[dict[str, Any]] = json.loads((DATA / "altered.json").read_text())


def _named(case: dict[str, Any]) -> str:
    what = json.dumps({k: v for k, v in case.items() if k not in ("export", "of", "runtimes")})
    return f"{case['export']}-{what}"


@pytest.mark.parametrize("case", CASES, ids=_named)
def test_no_answer_contradicts_what_a_release_did(case: dict[str, Any], tmp_path: Path) -> None:
    line = exported(case["of"], case["export"])
    if line is None:
        pytest.skip("an export of ../shared")
    changed = altered(line, case)
    wrong = contradictions({**changed, "runtimes": case["runtimes"]}, tmp_path)
    assert not wrong, wrong
