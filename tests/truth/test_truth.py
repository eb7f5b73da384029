"""Metadata broken at random, judged by real runtimes.

`tests/data/truth` holds `../shared/truth` and more, made in the same way from other seeds.
"""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.conftest import DATA, SHARED
from tests.replay import complaint
from truth_loop.answers import ask_as_judged
from truth_loop.case import Case
from truth_loop.excuses import is_excused
from truth_loop.judges import home_of

TRUTH = DATA / "truth"


def _lines() -> dict[str, dict[str, dict[str, Any]]]:
    """Id -> release -> what it did with that metadata."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(TRUTH.glob("*.jsonl.gz")):
        for text in gzip.decompress(path.read_bytes()).decode().splitlines():
            line = json.loads(text)
            found.setdefault(line["id"], {})[line["runtime"]] = line
    return found


LINES = _lines()
QUICK = ("21-", "77-", "untouched-", "kinds-", "scales-", "exports-", "companions-", "kv-")
"""Those of `make truth` are many: `make test` replays them all, quick runs these."""


def _is_here(of: dict[str, dict[str, Any]]) -> bool:
    origin: str = next(iter(of.values()))["from"]
    return (home_of(origin) / origin).is_dir()


HERE = [
    pytest.param(id_, marks=[] if id_.startswith(QUICK) else pytest.mark.slow)
    for id_, of in sorted(LINES.items())
    if _is_here(of)
]


@pytest.mark.parametrize("id_", HERE)
def test_each_release_is_answered_for_as_it_behaves(id_: str) -> None:
    lines = LINES[id_]
    with TemporaryDirectory() as folder:
        case = Case.of_line(next(iter(lines.values())))
        home = home_of(case.origin)
        stored = case.stored(home)
        got = ask_as_judged(case.write(home, Path(folder) / id_))
    complaints = [
        complaint(
            release,
            id_,
            f"{lines[release]['from']}: {', '.join(lines[release]['how'])}",
            loads=lines[release]["loads"],
            why=" | ".join(lines[release]["why"])[:300],
            got=got[release],
        )
        for release in lines
        if not (
            got[release].answer == "yes"
            and is_excused(case, release, lines[release]["why"], stored)
        )
        # What a release builds for some schemes of other quantizers was not read.
        and not (id_.startswith("exports-") and got[release].answer == "unknown")
    ]
    assert not any(complaints), "\n".join(filter(None, complaints))


def test_what_is_shared_is_here() -> None:
    for path in sorted((SHARED / "truth").glob("*.jsonl.gz")):
        assert (TRUTH / path.name).read_bytes() == path.read_bytes()
