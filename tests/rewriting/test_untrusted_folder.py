"""A checkpoint may come with a `.ckptfix` folder of a stranger's making."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.fuzz.targets import GOOD


def checkpoint(tmp_path: Path) -> Path:
    directory = tmp_path / "c"
    (directory / ".ckptfix").mkdir(parents=True)
    for name, data in GOOD.items():
        (directory / name).write_bytes(data)
    return directory


@pytest.mark.parametrize("name", ["lock", "journal.json", "undo.json"])
def test_a_link_in_it_is_not_followed(tmp_path: Path, run: Run, name: str) -> None:
    directory = checkpoint(tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (directory / ".ckptfix" / name).symlink_to(precious)
    done = run("rewrite", directory)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert precious.read_text() == "keep me"
    assert (directory / "config.json").read_bytes() == GOOD["config.json"]


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [os.mkfifo, folder])
def test_a_lock_that_is_no_file_does_not_hang(
    tmp_path: Path, run: Run, make: Callable[[Path], None]
) -> None:
    directory = checkpoint(tmp_path)
    make(directory / ".ckptfix" / "lock")
    done = run("rewrite", directory)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
