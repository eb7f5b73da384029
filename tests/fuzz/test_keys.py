"""Keys of a checkpoint's metadata with values of another kind; `make fuzz` tries all of them."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

import pytest

from tests.conftest import DATA
from tests.fuzz.guard import run_guarded
from tests.fuzz.keys import KINDS, Change, changes, documents

SOURCES = (
    "llama-nvfp4-awq",
    "nanovl-mixed-sharded-split",
    "qwen3vlmoe-nvfp4",
    *(
        f"quantizers/{path.name}"
        for path in sorted((DATA / "quantizers").iterdir())
        if path.is_dir()
    ),
)
COMMANDS = (
    ("check", ".", "--runtime", "vllm", "--runtime", "sglang"),
    ("rewrite", ".", "--dry-run"),
)
EVERY = 12
"""One of so many keys is tried."""


def _try(folder: Path, change: Change, document: object) -> None:
    file = folder / change.file
    before = file.read_bytes()
    file.write_text(json.dumps(change.applied(document)))
    here = Path.cwd()
    os.chdir(folder)
    try:
        for command in COMMANDS:
            run_guarded(folder, list(command))
    except BaseException as error:
        error.add_note(str(change))
        raise
    finally:
        os.chdir(here)
        file.write_bytes(before)


def _chosen(source: str, files: Mapping[str, object]) -> Iterator[Change]:
    """All, or some keys with one kind each, always the same."""
    if os.environ.get("EVERY_KIND"):
        yield from changes(files)
        return
    for number, change in enumerate(changes(files, ["null"])):
        if number % EVERY == crc32(source.encode()) % EVERY:
            kind = list(KINDS)[crc32(repr(change.path).encode()) % len(KINDS)]
            yield Change(change.file, change.path, kind)


@pytest.mark.parametrize("source", SOURCES)
def test_a_value_of_another_kind_is_reported(source: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / source, tmp_path / "checkpoint"))
    files = documents(folder)
    for change in _chosen(source, files):
        _try(folder, change, files[change.file])
