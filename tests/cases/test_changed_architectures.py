"""Exports of an architecture with another config, as published models of one differ.

Each has one value changed, or the values that make it another model, so that the class builds other
tensors (`tools/architecture_changes.py`).
"""

from pathlib import Path

import pytest

from tests.cases.exports import contradictions, exports

LINES = exports("changed_architectures")


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    wrong = contradictions(LINES[slug], tmp_path)
    assert not wrong, wrong
