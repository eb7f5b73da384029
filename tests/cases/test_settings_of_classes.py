"""Exports with one value of config.json changed, which real runtimes loaded, or did not.

Recorded by `tools/record_settings.py`; the unchanged exports load.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import MISSING, changed, contradictions, exports
from tests.cases.packed import write
from tests.replay import ask, complaint

LINES = exports("settings")
CHANGES = [
    pytest.param(slug, number, id=f"{slug}-{change['kind']}-{change['path']}")
    for slug, line in sorted(LINES.items())
    for number, change in enumerate(line["changes"])
]


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    wrong = contradictions(LINES[slug], tmp_path)
    assert not wrong, wrong


@pytest.mark.parametrize(("slug", "number"), CHANGES)
def test_nor_where_one_value_is_changed(slug: str, number: int, tmp_path: Path) -> None:
    line = LINES[slug]
    change = line["changes"][number]
    got = ask(write(with_change(line, change), tmp_path / slug))
    complaints = [
        complaint(
            release,
            slug,
            f"{change['path']} is {change['kind']}",
            loads=done["loads"],
            why=" | ".join(done["why"]),
            got=got[release],
        )
        for release, done in change["runtimes"].items()
        if got[release].answer != "unknown"
    ]
    assert not any(complaints), "\n".join(filter(None, complaints))


def with_change(line: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint with a value put into its config.json."""
    value = MISSING if change["kind"] == "missing" else change["value"]
    return changed(line, {change["path"]: value})
