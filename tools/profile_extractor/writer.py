"""The files of a runtime's releases: the oldest whole, each later one as changes."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from packaging.version import Version

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.profile_store import ArchitectureRecord, ReleaseFile, expand

Records = Mapping[str, ArchitectureRecord]
Releases = Mapping[str, tuple[ReleaseFile, Records]]
"""By version: source and all architectures of a release."""


def read_releases(folder: Path) -> Releases:
    """The releases that are in a folder `<runtime>/profiles`.

    Raises:
        CkptfixError: a file is not a profile, or its base is not there.
    """
    files: dict[str, ReleaseFile] = {}
    for path in folder.glob("*.json"):
        try:
            files[path.stem] = msgspec.json.decode(path.read_bytes(), type=ReleaseFile)
        except msgspec.MsgspecError as error:
            raise CkptfixError(f"{path}: not a profile: {error}") from error
    releases: dict[str, tuple[ReleaseFile, Records]] = {}
    for version in sorted(files, key=Version):
        release = files[version]
        base: Records = {}
        if release.base is not None:
            if release.base not in releases:
                raise CkptfixError(f"{folder / version}.json: there is no base {release.base}")
            base = releases[release.base][1]
        releases[version] = (release, expand(release, base))
    return releases


def render_releases(releases: Releases) -> dict[str, str]:
    """File name and text of every release of one runtime."""
    texts: dict[str, str] = {}
    base_version: str | None = None
    base: Records = {}
    for version in sorted(releases, key=Version):
        head, records = releases[version]
        written = ReleaseFile(
            head.runtime,
            head.version,
            head.source,
            base_version,
            {n: r for n, r in sorted(records.items()) if base.get(n) != r},
            tuple(sorted(set(base) - set(records))),
        )
        texts[f"{version}.json"] = _lines(written)
        base_version, base = version, records
    return texts


def differing(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """The files of a folder that are missing or have another text."""
    paths = ((folder / name, text) for name, text in texts.items())
    return tuple(
        path
        for path, text in paths
        if not path.is_file() or path.read_bytes() != text.encode("utf-8")
    )


def write(paths: Iterable[Path], texts: Mapping[str, str]) -> None:
    """Write the files of those paths, with the texts of their names."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(texts[path.name].encode("utf-8"))


def _lines(release: ReleaseFile) -> str:
    """One architecture per line, so that a change reads well in a diff."""
    fields = msgspec.to_builtins(release)
    changed = fields.pop("changed", {})
    head = [f" {_json(key)}: {_json(value)}" for key, value in fields.items()]
    rows = [f"  {_json(name)}: {_json(record)}" for name, record in changed.items()]
    body = ' "changed": {\n' + ",\n".join(rows) + "\n }" if rows else ' "changed": {}'
    return "{\n" + ",\n".join([*head, body]) + "\n}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
