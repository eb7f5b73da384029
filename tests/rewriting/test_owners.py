"""Checkpoints of another user, and names that differ in case only."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import DATA, Run, files_of

NOBODY = 65534
BEFORE = files_of(DATA / "nanovl-mixed")

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A checkpoint of root that everybody may read; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        folder = Path(made) / "checkpoint"
        shutil.copytree(DATA / "nanovl-mixed", folder)
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
        yield folder


@pytest.fixture
def as_nobody() -> Command:
    """Run `ckptfix` as a user who owns nothing.

    It may read everything, as this Python may lie in a folder that is closed to others.
    """
    reading = "+dac_read_search"
    become = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    become += ["--inh-caps", reading, "--ambient-caps", reading]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        # Coverage would write its data where nobody may not.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
        return subprocess.run(
            [*become, sys.executable, "-m", "ckptfix", *map(str, arguments)],
            cwd="/",
            env=clean | {"HOME": "/nonexistent"},
            check=False,
            capture_output=True,
            encoding="utf-8",
        )

    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, and setpriv of util-linux, to become another user")
    if run("--version").returncode != 0:
        pytest.skip("this machine lets root become no other user")
    return run


@pytest.mark.parametrize("owner", [0, NOBODY], ids=["directory-of-another", "read-only-directory"])
def test_a_directory_that_cannot_be_written_is_reported_and_left_alone(
    shared: Path, as_nobody: Command, owner: int
) -> None:
    os.chown(shared, owner, owner)
    shared.chmod(0o555)
    assert as_nobody("check", shared).returncode == 1
    done = as_nobody("rewrite", shared)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {shared}: cannot write: Permission denied; nothing was changed; "
        "use --output DIR to write a repaired checkpoint elsewhere\n"
    )
    assert files_of(shared) == BEFORE


def test_files_of_another_in_a_directory_of_ours_are_replaced_and_restored(
    shared: Path, as_nobody: Command
) -> None:
    os.chown(shared, NOBODY, NOBODY)
    assert as_nobody("rewrite", shared).returncode == 0
    assert as_nobody("check", shared, "--runtime", "vllm>=0.17").returncode == 0
    assert (shared / "model.safetensors").stat().st_uid == 0
    assert as_nobody("rewrite", "--undo", shared).returncode == 0
    assert files_of(shared) == BEFORE
    assert (shared / "config.json").stat().st_mode & 0o777 == 0o644


def test_where_only_the_owner_may_replace_a_file_nothing_is_torn_and_undo_clears_up(
    shared: Path, as_nobody: Command
) -> None:
    shared.chmod(0o1777)
    done = as_nobody("rewrite", shared)
    assert done.returncode == 2
    assert "Operation not permitted" in done.stderr
    assert "--undo to roll it back" in done.stderr
    kept = {name: data for name, data in files_of(shared).items() if name in BEFORE}
    assert kept == BEFORE
    assert as_nobody("rewrite", "--undo", shared).returncode == 0
    assert files_of(shared) == BEFORE


def test_names_that_differ_in_case_only_are_different_files(
    copy_of: Callable[[str], Path], run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    other = (DATA / "llama-fp8-kv8" / "config.json").read_bytes()
    (directory / "Config.json").write_bytes(other)
    if (directory / "config.json").read_bytes() == other:
        pytest.skip("this file system knows no case")
    assert run("rewrite", directory).returncode == 0
    assert (directory / "Config.json").read_bytes() == other
    assert run("check", directory, "--runtime", "vllm>=0.17").returncode == 0
    assert run("rewrite", "--undo", directory).returncode == 0
    assert files_of(directory) == BEFORE | {"Config.json": other}
