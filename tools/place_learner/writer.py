"""Learned results -> the files under `<runtime>/learned/`."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ckptfix.runtimes.learned.records import ArchitectureRecord, ReleaseRecord, TableRecord
from ckptfix.runtimes.learned.store import TABLES
from place_learner import tables
from place_learner.provenance import provenance

_PATH: Final = re.compile(r"(?:/[\w.~+-]+){2,}/?")
_ID_LENGTH: Final = 10
_LONGEST: Final = 160


def read_results(folder: Path) -> Iterator[dict[str, Any]]:
    """The results of a run, in the order of their names."""
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_text("utf-8"))


def release_of(
    runtime: str, version: str, transformers: str, results: Iterator[dict[str, Any]]
) -> tuple[ReleaseRecord, dict[str, TableRecord]]:
    """The list of a release, and the tables that it names, by id."""
    architectures: dict[str, ArchitectureRecord] = {}
    failed: dict[str, str] = {}
    found: dict[str, TableRecord] = {}
    for result in results:
        name = result["architecture"]
        if result["status"] != "built":
            failed[name] = _PATH.sub("PATH", " ".join(result["error"].split()))[:_LONGEST]
            continue
        record = msgspec.convert(tables.table(result), TableRecord)
        identifier = _id(record)
        found[identifier] = record
        origin = {"table": identifier, **provenance(result)}
        architectures[name] = msgspec.convert(origin, ArchitectureRecord)
    return ReleaseRecord(runtime, version, transformers, architectures, failed), found


def _id(record: TableRecord) -> str:
    return hashlib.sha256(msgspec.json.encode(record)).hexdigest()[:_ID_LENGTH]


def merged(folder: Path, built: ReleaseRecord) -> ReleaseRecord:
    """The recorded release with the architectures that were built now, unless that failed."""
    before = _read(folder / f"{built.version}.json")
    failed = {name: why for name, why in before.failed.items() if name not in built.architectures}
    architectures = {**before.architectures, **built.architectures}
    return msgspec.structs.replace(before, architectures=architectures, failed=failed)


def write(folder: Path, release: ReleaseRecord, found: Mapping[str, TableRecord]) -> list[str]:
    """Put a release into the folder of its runtime; what changed, one line each.

    Tables that no release uses any more are dropped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{release.version}.json"
    before = _read(path) if path.exists() else None
    path.write_bytes(_lines(release))
    releases = [_read(p) for p in sorted(folder.glob("*.json"))]
    named = {a.table for r in releases for a in r.architectures.values()}
    pool = {**_read_tables(folder / TABLES), **found}
    kept = sorted((name, record) for name, record in pool.items() if name in named)
    rows = [f'"{name}":{msgspec.json.encode(record).decode()}' for name, record in kept]
    (folder / TABLES).write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")
    return list(_changes(before, release))


def _read(path: Path) -> ReleaseRecord:
    return msgspec.json.decode(path.read_bytes(), type=ReleaseRecord)


def _read_tables(path: Path) -> dict[str, TableRecord]:
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, TableRecord])


def _lines(release: ReleaseRecord) -> bytes:
    """The release as JSON, one architecture per line, so that a diff of it can be read."""
    body = msgspec.to_builtins(release)
    parts = []
    for key, value in body.items():
        if isinstance(value, dict):
            rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(value.items())]
            parts.append(f" {json.dumps(key)}: {{\n" + ",\n".join(rows) + "\n }")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _changes(before: ReleaseRecord | None, after: ReleaseRecord) -> Iterator[str]:
    old = before.architectures if before else {}
    for name, record in after.architectures.items():
        if name not in old:
            yield f"{name}: new, from {record.source} {record.config}"
        elif old[name].table != record.table:
            yield f"{name}: other rows"
    for name in old.keys() - after.architectures.keys():
        yield f"{name}: no longer built: {after.failed.get(name, 'not registered')}"


def counts(release: ReleaseRecord) -> str:
    """How many architectures there are of each source, as a sentence."""
    sources = [record.source for record in release.architectures.values()]
    whole = sum(record.single_pass for record in release.architectures.values())
    each = ", ".join(f"{sources.count(s)} {s}" for s in ("real", "library", "invented"))
    alike = sum(bool(record.alike) for record in release.architectures.values())
    head = f"{release.runtime} {release.version}: {len(sources)} learned ({each})"
    return f"{head}, {alike} as their neighbours, {whole} load whole, {len(release.failed)} failed"
