"""Real checkpoints and a real command line for every test."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from ckptfix.__main__ import main
from ckptfix.checkpoint.checkpoint import Checkpoint, load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.rules.finding import Finding
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import choose_name_map

# The same examples in every run, and no time limits: a busy machine must not fail a test.
# HYPOTHESIS_PROFILE=explore looks for new examples.
settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"
FIXTURES = SHARED / "fixtures" if (SHARED / "fixtures").is_dir() else DATA
FIXTURE_NAMES = sorted(path.parent.name for path in FIXTURES.glob("*/config.json"))

with contextlib.suppress(ImportError):
    import readline  # noqa: F401 - so that nothing imports it later

SHOWING = ("FORCE_COLOR", "NO_COLOR", "COLUMNS")
"""Variables of a user's terminal that change what is printed."""
for name in SHOWING:
    os.environ.pop(name, None)  # also those that a runner of tests sets for its workers
    # Importing readline, as pdb of Python 3.13 does, sets COLUMNS for child processes, but not in
    # os.environ.
    os.unsetenv(name)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `ckptfix` as a process of its own; output is a pipe unless the test says otherwise."""

    def run_(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ckptfix", *map(str, arguments)],
            check=False,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **environment},
            cwd=tmp_path,
        )

    return run_


@dataclass(frozen=True)
class Called:
    """What a command in this process printed."""

    returncode: int
    stdout: str
    stderr: str


Call = Callable[..., Called]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process: for walks over all fixtures, where speed counts."""

    def call_(*arguments: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["ckptfix", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        shown = capsys.readouterr()
        return Called(int(done.value.code or 0), shown.out, shown.err)

    return call_


CopyOf = Callable[[str], Path]


@pytest.fixture
def copy_of(tmp_path: Path) -> CopyOf:
    """A writable copy of a fixture."""

    def copy(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(DATA / name if (DATA / name).is_dir() else FIXTURES / name, target)
        for path in (target, *target.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
        return target

    return copy


def load(directory: Path) -> Checkpoint:
    return load_checkpoint(DirectorySource.open(str(directory)), directory.name)


def check(directory: Path) -> tuple[Finding, ...]:
    checkpoint = load(directory)
    config = checkpoint.config
    return find_all(checkpoint, choose_name_map(config.architectures, config.nested))


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by relative path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def files_but_the_backup(directory: Path) -> dict[str, bytes]:
    """Every file of a checkpoint but those that undo needs."""
    return {n: d for n, d in files_of(directory).items() if not n.startswith(".ckptfix/")}
