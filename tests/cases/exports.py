"""Exports that real runtimes judged, recorded by `tools/record_architectures.py`."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import RELEASES, ask, complaint

MISSING: Final = object()


def exports(name: str) -> dict[str, dict[str, Any]]:
    """Slug -> the line of `tests/data/NAME.jsonl.gz`: files, headers, what each runtime did."""
    packed = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).decode()
    return {line["slug"]: line for line in map(json.loads, packed.splitlines())}


def changed(line: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A line with values at paths in its config.json; MISSING takes a key away."""
    config = json.loads(line["files"]["config.json"])
    for path, value in values.items():
        *within, key = path.split(".")
        holder = config
        for part in within:
            holder = holder.setdefault(part, {})
        if value is MISSING:
            holder.pop(key, None)
        else:
            holder[key] = value
    return {**line, "files": {**line["files"], "config.json": json.dumps(config)}}


def contradictions(line: dict[str, Any], tmp_path: Path) -> str:
    """Where an answer says something else than a release did; empty if nowhere."""
    slug, judged = line["slug"], line["runtimes"]
    got = ask(write(line, tmp_path / slug))
    complaints = [
        complaint(
            release,
            slug,
            "exported whole",
            loads=judged[release]["loads"],
            why=" | ".join(judged[release]["why"]),
            got=got[release],
        )
        for release in RELEASES
        if release in judged and got[release].answer != "unknown"
    ]
    return "\n".join(filter(None, complaints))
