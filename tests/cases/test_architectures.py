"""Small exports of every architecture that both the library and a runtime build.

Recorded by `tools/record_architectures.py`: the configs are the transformers library's own, the
weights zeros, what the runtimes did is real.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import RELEASES, ask, complaint


def _lines() -> dict[str, dict[str, Any]]:
    packed = gzip.decompress((DATA / "architectures.jsonl.gz").read_bytes()).decode()
    return {line["slug"]: line for line in map(json.loads, packed.splitlines())}


LINES = _lines()


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    line = LINES[slug]
    got = ask(write(line, tmp_path / slug))
    complaints = [
        complaint(
            release,
            slug,
            "exported whole",
            loads=line["runtimes"][release]["loads"],
            why=" | ".join(line["runtimes"][release]["why"]),
            got=got[release],
        )
        for release in RELEASES
        if release in line["runtimes"] and got[release].answer != "unknown"
    ]
    assert not any(complaints), "\n".join(filter(None, complaints))
