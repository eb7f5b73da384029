"""The wheel works where no source is, and holds all that the source tree holds."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import ckptfix
from tests.conftest import DATA

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


def run(folder: Path, *command: object, code: int = 0) -> str:
    """Run with neither the source tree nor the coverage of the tests on the path."""
    hidden = ("PYTHON", "PYTEST", "COVERAGE", "COV_", "MYPY")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environment["TMPDIR"] = str(folder)
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def build(folder: Path, source: Path, *options: str) -> None:
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, *options)
    run(folder, *command, source)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    build(folder, ROOT, "--wheel", "--sdist")
    return folder


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """The Python of an environment with the wheel; dependencies are those of the tests."""
    (wheel,) = built.glob("*.whl")
    home = built / "environment"
    run(built, sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    site = Path(
        run(built, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    run(
        built,
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
    )
    # A directory of links: the .pth of the editable install would bring the source tree back.
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if (
            entry.suffix != ".pth"
            and "ckptfix" not in entry.name
            and not (site / entry.name).exists()
        ):
            (site / entry.name).symlink_to(entry)
    return python


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_every_file_of_the_package(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    held = {n: data for n, data in content(wheel).items() if n.startswith("ckptfix/")}
    files = (SOURCE / "ckptfix").rglob("*")
    wanted = {
        str(path.relative_to(SOURCE)): path.read_bytes()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert "ckptfix/py.typed" in held
    assert any(name.endswith(".toml") for name in held)


def test_the_source_distribution_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (wheel,), (archive,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    build(tmp_path, source, "--wheel")
    (again,) = tmp_path.glob("*.whl")
    assert content(again) == content(wheel)


def test_the_installed_command_works_without_the_source_tree(installed: Path) -> None:
    home = installed.parents[1]
    where = run(home, installed, "-c", "import ckptfix; print(ckptfix.__file__)")
    assert Path(where.strip()).is_relative_to(home)
    command = installed.parent / "ckptfix"
    assert run(home, command, "--version").split() == ["ckptfix", ckptfix.__version__]
    assert ": clean\n" in run(home, command, "demo")
    runtimes = ("--runtime", "vllm", "--runtime", "sglang")
    (report,) = json.loads(
        run(home, command, "check", DATA / "nanovl-mixed", *runtimes, "--json", code=1)
    )["checkpoints"]
    assert "CKF701" in {finding["code"] for finding in report["findings"]}
    assert "CKF701" in run(home, command, "explain", "CKF701")


def test_a_type_checker_sees_the_types_of_the_installed_package(installed: Path) -> None:
    home = installed.parents[1]
    (home / "user.py").write_text("import ckptfix\nreveal_type(ckptfix.__version__)\n")
    command = (sys.executable, "-m", "mypy", "--python-executable", installed)
    shown = run(home, *command, "--cache-dir", os.devnull, "--strict", "user.py")
    assert re.search(r'Revealed type is "(builtins\.)?str"', shown)
