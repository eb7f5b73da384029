"""One execution: lay a hostile checkpoint out, run a command on it, look at what it left."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import files_of
from tests.fuzz.guard import Told, run_guarded
from tests.fuzz.targets import arguments_for, lay_out


def execute(place: Path, name: str, data: bytes, command: Sequence[str]) -> Told:
    """Run one command on one hostile file, in `place`.

    Raises:
        AssertionError: the command broke a promise.
    """
    folder = place / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(folder, name, data)
    beside = (place / "canary.json").read_bytes()
    before = files_of(folder)
    here = Path.cwd()
    os.chdir(folder)
    try:
        outcome = run_guarded(folder, arguments_for(name, data, command))
    finally:
        os.chdir(here)
    assert (place / "canary.json").read_bytes() == beside
    assert sorted(os.listdir(place)) == ["canary.json", "checkpoint"]
    if command[0] != "rewrite" or "--dry-run" in command:
        assert files_of(folder) == before, "a command that reads has written"
    return outcome
