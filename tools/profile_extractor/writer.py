"""Write releases so that what did not change is not repeated."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from packaging.version import Version

from ckptfix.runtimes.profile_store import ArchitectureRecord, ReleaseFile

Records = Mapping[str, ArchitectureRecord]


def write_releases(folder: Path, releases: list[tuple[ReleaseFile, Records]]) -> None:
    """Write all releases of one runtime: the oldest whole, each later one as changes.

    Args:
        folder: `profiles/<runtime>`.
        releases: head (runtime, version, source) and all architectures of each release.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    base_version: str | None = None
    base: Records = {}
    for head, records in sorted(releases, key=lambda release: Version(release[0].version)):
        written = ReleaseFile(
            head.runtime,
            head.version,
            head.source,
            base_version,
            {n: r for n, r in sorted(records.items()) if base.get(n) != r},
            tuple(sorted(set(base) - set(records))),
        )
        (folder / f"{head.version}.json").write_text(_lines(written), encoding="utf-8")
        base_version, base = head.version, records


def _lines(release: ReleaseFile) -> str:
    """One architecture a line, so that a change reads well in a diff."""
    fields = msgspec.to_builtins(release)
    changed = fields.pop("changed", {})
    head = [f" {_json(key)}: {_json(value)}" for key, value in fields.items()]
    rows = [f"  {_json(name)}: {_json(record)}" for name, record in changed.items()]
    body = ' "changed": {\n' + ",\n".join(rows) + "\n }" if rows else ' "changed": {}'
    return "{\n" + ",\n".join([*head, body]) + "\n}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
