"""A `file://` URL is a path: the same refusals and abilities, and no chain gets around them."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.remote.local_url import local_path
from ckptfix.remote.reference import Directory, parse_reference
from tests.conftest import DATA, SHARED, Call, Run, files_of

NANO_VL = DATA / "nanovl-mixed"
FILES = ("config.json", "hf_quant_config.json", "model.safetensors")
NEVER = 300
"""Seconds until a command that waits for a pipe is ended, and its test fails."""

SPELLINGS: tuple[Callable[[Path], str], ...] = (
    lambda path: f"file://{path}",
    lambda path: f"FILE://{path}",
    lambda path: f"local://{path}",
    lambda path: f"file://localhost{path}",
    lambda path: f"file://LocalHost{path}/",
    lambda path: "file:///" + "".join(f"%{byte:02X}" for byte in os.fsencode(path)[1:]),
)
CHAINS = (
    "simplecache::file://{}",
    "simplecache::local://{}",
    "filecache::file://{}",
    "blockcache::file://{}",
    "cached::file://{}",
    "dir::file://{}",
    "dir://sub::file://{}",
    "hf::file://{}",
    "memory::file://{}",
    "zip://::simplecache::file://{}/config.json",
    "zip://::file://{}/config.json::file://{}/config.json",
    "reference://::file://{}/config.json",
    "reference::file://{}/config.json",
    "generic://file://{}",
    "git://{}",
    "asynclocal://{}",
)


SPOILERS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/hostname"),
    "link-to-fifo": lambda path: path.symlink_to("../fifo-config.json/config.json"),
    "folder": Path.mkdir,
    "loop": lambda path: path.symlink_to(path.name),
}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Copies of a checkpoint in each of which a file is none."""
    made = []
    for kind, spoil in SPOILERS.items():
        for file in FILES:
            made.append(tmp_path_factory.getbasetemp() / "spoilt" / f"{kind}-{file}")
            shutil.copytree(NANO_VL, made[-1])
            (made[-1] / file).unlink()
            spoil(made[-1] / file)
    return tuple(made)


def ended(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command that ends, whatever it is asked to read."""
    return subprocess.run(
        [sys.executable, "-m", "ckptfix", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=NEVER,
    )


def message(*names: object) -> list[str]:
    """What `check` says of checkpoints, each of which it refuses."""
    done = ended("check", "--jobs", "1", *names)
    lines = sorted(done.stderr.splitlines())
    assert (done.returncode, len(lines)) == (2, len(names)), done.stderr
    return lines


@pytest.mark.parametrize("spelling", SPELLINGS, ids=range(len(SPELLINGS)))
def test_what_a_path_refuses_its_url_refuses(
    spoilt: tuple[Path, ...], spelling: Callable[[Path], str]
) -> None:
    as_paths = message(*spoilt)
    assert all("not a regular file" in line or "link" in line for line in as_paths)
    assert message(*map(spelling, spoilt)) == as_paths


@pytest.mark.parametrize("chain", CHAINS)
def test_no_chain_reads_what_a_path_refuses(spoilt: tuple[Path, ...], chain: str) -> None:
    names = [chain.replace("{}", str(path)) for path in (*spoilt[:3], NANO_VL)]
    for line in message(*names):
        assert line.endswith("reads local files; pass the directory itself")


@pytest.mark.parametrize(
    "archive", ["fifo-config.json/config.json", "folder-config.json/config.json", "nowhere"]
)
def test_an_archive_that_is_no_file_is_not_waited_for(
    spoilt: tuple[Path, ...], archive: str
) -> None:
    path = spoilt[0].parent / archive
    for name in (f"zip://::file://{path}", f"tar://::{path}", f"zip://a::local://{path}"):
        assert message(name)[0].endswith(f"{path} is not a regular file")


def test_an_archive_without_a_name_is_not_the_working_directory() -> None:
    assert message(f"zip://{NANO_VL}")[0].endswith(
        "does not name an archive; write zip://FOLDER::URL_OF_THE_ARCHIVE"
    )


def test_a_local_archive_is_read(call: Call, tmp_path: Path) -> None:
    archive = tmp_path / "a b.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in NANO_VL.iterdir():
            file.write(path, f"nano/{path.name}")
    here = call("inspect", NANO_VL)
    for last in (f"file://{tmp_path}/a%20b.zip", f"{archive}"):
        there = call("inspect", f"zip://nano::{last}")
        assert (there.returncode, there.stderr) == (0, "")
        assert there.stdout == here.stdout.replace(str(NANO_VL), f"zip://nano::{last}")


def test_a_checkpoint_is_rewritten_where_its_url_points(
    copy_of: Callable[[str], Path], call: Call
) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    url = f"file://localhost{directory}"
    assert f"ckptfix rewrite {directory}" in call("check", url).stdout
    done = call("rewrite", url)
    assert done.returncode == 0
    assert f"undo with: ckptfix rewrite {directory} --undo" in done.stdout
    checked = call("check", f"{url}/config.json", "--runtime", "vllm>=0.17")
    assert checked.stdout.endswith(f"{directory}: clean\n")
    assert call("inspect", url).returncode == call("resolve", url, "*").returncode == 0
    assert call("rewrite", url, "--undo").returncode == 0
    assert files_of(directory) == before


def test_verify_takes_a_url_as_the_path(call: Call, tmp_path: Path) -> None:
    done = call("verify", f"file://{tmp_path}/no%20where")
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path}/no where: no such directory\n")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file://localhost/a/b/", "/a/b/"),
        ("local:///a", "/a"),
        ("file:///a%20b%2Fc", "/a b/c"),
        ("file:///a?b#c", "/a?b#c"),
        ("file:///a::b", "/a::b"),
        ("file:///%FF", "/\udcff"),
        ("file:////a", "//a"),
        ("file:///", "/"),
    ],
)
def test_the_path_of_a_url(url: str, path: str) -> None:
    assert local_path(url) == path
    assert parse_reference(url) == Directory(path)


@pytest.mark.parametrize(
    "url", ["file://", "local://", "file://localhost", "file://host/a", "file://a", "file://./a"]
)
def test_a_url_that_is_no_path_here(url: str) -> None:
    with pytest.raises(CkptfixError, match="not an absolute path on this machine"):
        parse_reference(url)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    source = SHARED / "cases" / "hostile-file-url"
    if not source.is_dir():
        pytest.skip("../shared is not here")
    shutil.copytree(source, tmp_path / "case")
    (tmp_path / "case").chmod(0o755)
    subprocess.run(["./make.sh"], cwd=tmp_path / "case", check=True)
    return tmp_path / "case"


def test_the_case(case: Path, run: Run) -> None:
    made = sorted(path for path in case.iterdir() if path.is_dir())
    assert len(made) == 8
    assert message(*(f"file://{path}" for path in made)) == message(*made)
    assert run("check", f"file://{case}").returncode == run("check", case).returncode == 0
