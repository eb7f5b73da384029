"""Exports as popular releases are published, small and made up, judged by real classes.

`tools/record_published.py` made the file.
"""

from pathlib import Path

import pytest

from tests.cases.exports import contradictions, exports
from tests.cases.packed import write
from tests.replay import ask

LINES = exports("published")


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    wrong = contradictions(LINES[slug], tmp_path)
    assert not wrong, wrong


@pytest.mark.parametrize("slug", sorted(LINES))
def test_what_a_release_loads_is_not_unknown(slug: str, tmp_path: Path) -> None:
    line = LINES[slug]
    got = ask(write(line, tmp_path / slug))
    unknown = [
        r for r, did in line["runtimes"].items() if did["loads"] and got[r].answer == "unknown"
    ]
    assert not unknown, [str(got[release]) for release in unknown]
