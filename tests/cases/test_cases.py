"""Small checkpoints with one fault each, judged by real runtimes (`../shared/cases`)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA, SHARED
from tests.replay import RELEASES, ask, complaint

CASES = SHARED / "cases" if (SHARED / "cases").is_dir() else DATA / "cases"
SLUGS = sorted(path.name for path in CASES.iterdir() if path.is_dir())


@cache
def _described() -> dict[str, dict[str, Any]]:
    return {case["slug"]: case for case in json.loads((CASES / "cases.json").read_text())}


@pytest.mark.parametrize("slug", SLUGS)
def test_each_release_is_answered_for_as_it_behaves(slug: str) -> None:
    case = _described()[slug]
    got = ask(_checkpoint(slug))
    complaints = [
        complaint(
            "cases",
            release,
            slug,
            case["did"],
            loads=case["runtimes"][release]["loads"],
            why=" | ".join(case["runtimes"][release]["why"])[:300],
            got=got[release],
        )
        for release in RELEASES
    ]
    assert not any(complaints), "\n".join(filter(None, complaints))


def _checkpoint(slug: str) -> Path:
    directory = CASES / slug
    return directory / "-rf" if (directory / "-rf").is_dir() else directory
