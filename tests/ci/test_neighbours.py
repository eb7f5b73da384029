"""Installing ckptfix changes nothing in the environment of a server."""

import fcntl
import os
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ckptfix.runtimes.profile_store import known_releases
from tests.ci.test_package import build, run
from tests.conftest import DATA

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEIGHBOURS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "neighbours.toml").read_text(encoding="utf-8")
)["neighbour"]
OLDEST = ROOT / "requirements" / "oldest.txt"
CLIENT_TESTS = (
    "hub/test_faults",
    "hub/test_many",
    "hub/test_progress",
    "hub/test_reading",
    "hub/test_rewrite",
    "hub/test_url",
    "cli/test_terminal",
)
"""What depends on huggingface_hub, fsspec and rich; all other tests take minutes."""
S3_TEST = "tests/hub/test_url.py::test_a_checkpoint_on_s3"
"""Its server needs an s3fs, and each s3fs needs the fsspec of its own month."""


def specifiers(requirements: Iterable[str]) -> dict[str, SpecifierSet]:
    parsed = map(Requirement, requirements)
    return {canonicalize_name(each.name): each.specifier for each in parsed}


def versions(pins: Iterable[str]) -> dict[str, str]:
    return {
        canonicalize_name(name): version for name, _, version in (p.partition("==") for p in pins)
    }


OURS = specifiers(PROJECT["dependencies"])
EXTRAS = specifiers(each for extra in PROJECT["optional-dependencies"].values() for each in extra)


@pytest.mark.parametrize("when", ["at_release", "now"])
@pytest.mark.parametrize("row", NEIGHBOURS, ids=lambda row: f"{row['name']}-{row['version']}")
def test_nothing_that_a_neighbour_has_installed_must_change(row: dict[str, Any], when: str) -> None:
    installed = versions(row[when])
    for name in installed.keys() & (OURS | EXTRAS).keys():
        specifier = (OURS | EXTRAS)[name]
        assert installed[name] in specifier, f"ckptfix would replace {name} {installed[name]}"
    for name, specifier in specifiers(row["needs"]).items():
        assert installed[name] in specifier, f"{row['name']} needs {name}{specifier}"


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_the_neighbours_are_known_releases_and_the_newest_is_among_them(runtime: str) -> None:
    rows = [row["version"] for row in NEIGHBOURS if row["name"] == runtime]
    assert set(rows) <= set(known_releases(runtime))
    assert rows[-1] == known_releases(runtime)[-1]


def test_the_oldest_requirements_are_the_lower_bounds() -> None:
    pinned = re.findall(
        r"^([a-z0-9-]+)==([^ ;]+)", OLDEST.read_text(encoding="utf-8"), re.MULTILINE
    )
    oldest = dict(reversed(pinned))  # the first of several is that of the oldest Python
    for name, specifier in OURS.items():
        (bound,) = specifier
        assert (bound.operator, oldest[name]) in [
            (">=", spelled) for spelled in (bound.version, f"{bound.version}.0")
        ]


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with transformers, where pip has installed the wheel."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home = shared / "oldest"
    with (shared / "oldest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of pytest-xdist share it
        if not (home / "ready").exists():
            install_oldest(home)
            (home / "ready").touch()
    return home / "bin" / "python"


def install_oldest(home: Path) -> None:
    home.mkdir(exist_ok=True)
    run(home, sys.executable, "-m", "venv", "--clear", "--without-pip", home)
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install")
    run(home, *pip, "--no-compile", "--require-hashes", "--requirement", OLDEST)
    build(home, ROOT, "--wheel")
    # As a user types it; without an index nothing can be replaced.
    run(home, *pip, "--no-index", *home.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_leaves_transformers_as_it_is(oldest: Path) -> None:
    home = oldest.parents[1]
    run(home, sys.executable, "-m", "pip", "--python", oldest, "check")
    shown = run(home, oldest, "-c", "import transformers; print(transformers.__version__)")
    assert shown.split()[-1] == "4.57.6"
    checked = run(home, oldest.parent / "ckptfix", "check", DATA / "nanovl-mixed", code=1)
    assert checked.endswith("38 errors; ckptfix rewrite repairs 37\n")


WITH_TEST_TOOLS = """
import sys

sys.path.append({tools!r})  # after the packages of this environment, which are found first
import huggingface_hub
import pytest

print("with huggingface_hub", huggingface_hub.__version__)
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_hub_and_the_terminal_with_the_oldest_dependencies(oldest: Path) -> None:
    script = WITH_TEST_TOOLS.format(tools=sysconfig.get_path("purelib"))
    where = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider")
    quiet = ("-W", "ignore::DeprecationWarning")  # old releases on a newer Python
    tests = (ROOT / "tests" / f"{name}.py" for name in CLIENT_TESTS)
    chosen = (*tests, "--deselect", S3_TEST, "-n", "2")
    shown = run(oldest.parents[1], oldest, "-c", script, *where, *quiet, *chosen)
    assert shown.startswith("with huggingface_hub 0.34.0\n")
    assert int(re.findall(r"(\d+) passed", shown)[-1]) > 100
