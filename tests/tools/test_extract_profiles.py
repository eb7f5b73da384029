"""The command: where a release is read from, and which files become of it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from ckptfix.runtimes.registry import known_runtimes
from profile_extractor.writer import read_releases, render_releases
from tests.tools.source_trees import vllm_files, write_directory, write_wheel

ROOT = Path(__file__).parents[2]
RUNTIMES = ROOT / "src" / "ckptfix" / "runtimes"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "extract_profiles.py", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


def wheel(folder: Path, version: str, packed: str) -> Path:
    model = f"class M:\n    packed_modules_mapping = {{'qkv': ['{packed}']}}\n"
    return write_wheel(folder / f"vllm-{version}-py3-none-any.whl", vllm_files(model))


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in (folder / "vllm" / "profiles").iterdir()}


def test_a_wheel_and_its_directory_give_the_same_profile(tmp_path: Path) -> None:
    files = vllm_files("class M:\n    packed_modules_mapping = {'qkv': ['q']}\n")
    packed = write_wheel(tmp_path / "vllm-1.2-py3-none-any.whl", files)
    unpacked = write_directory(tmp_path / "unpacked", "", files)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    (tmp_path / "unpacked.sha256").write_text(f"{digest}  {packed}\n")
    assert run(packed, "--out", tmp_path / "one").returncode == 0
    assert run(unpacked, "--out", tmp_path / "other").returncode == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    (release, records) = read_releases(tmp_path / "one" / "vllm" / "profiles")["1.2"]
    assert release.source == f"{packed.name} sha256 {digest}"
    assert records["Arch"].packed == {"qkv": ("q",)}


def test_a_release_is_added_as_if_all_had_been_read_at_once(tmp_path: Path) -> None:
    old, middle, new = (
        wheel(tmp_path, version, packed)
        for version, packed in (("1.9", "q"), ("1.10.post1", "k"), ("2.0", "q"))
    )
    together, added = tmp_path / "together", tmp_path / "added"
    assert run(new, old, middle, "--out", together).returncode == 0
    assert run(old, new, "--out", added).returncode == 0
    assert contents(added) != contents(together)
    assert run(middle, "--out", added).returncode == 0
    assert contents(added) == contents(together)
    releases = read_releases(added / "vllm" / "profiles")
    assert [(v, releases[v][0].base) for v in releases] == [
        ("1.9", None),
        ("1.10.post1", "1.9"),
        ("2.0", "1.10.post1"),
    ]
    assert [records["Arch"].packed for _, records in releases.values()] == [
        {"qkv": ("q",)},
        {"qkv": ("k",)},
        {"qkv": ("q",)},
    ]


def test_check_writes_nothing_and_reports_a_change(tmp_path: Path) -> None:
    one = wheel(tmp_path, "1.0", "q")
    out = tmp_path / "out"
    done = run(one, "--check", "--out", out)
    assert done.returncode == 1
    assert f"would change {out / 'vllm' / 'profiles' / '1.0.json'}" in done.stdout
    assert not out.exists()
    assert run(one, "--out", out).returncode == 0
    before = contents(out)
    done = run(one, "--check", "--out", out)
    assert (done.returncode, done.stdout) == (0, "vllm 1.0: 1 architectures\n")
    wheel(tmp_path, "1.0", "k")
    assert run(one, "--check", "--out", out).returncode == 1
    assert contents(out) == before


def test_what_could_not_be_read_is_reported_and_the_rest_written(tmp_path: Path) -> None:
    model = "import os\nclass M:\n    hf_to_vllm_mapper = os.environ.get('MAPPER')\n"
    source = write_wheel(tmp_path / "vllm-1.0-py3-none-any.whl", vllm_files(model))
    done = run(source, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr == (
        "vllm 1.0: Arch (M in vllm/model_executor/models/m.py): "
        "name mapper: cannot call os.environ.get\n"
    )
    assert read_releases(tmp_path / "out" / "vllm" / "profiles")["1.0"][1]["Arch"].depends_on_config


@pytest.mark.parametrize(
    ("name", "record", "message"),
    [
        ("vllm-1.0-py3-none-any.whl", None, "No such file or directory"),
        ("directory", None, "nothing shows which wheel this was; write the output of `sha256sum"),
        ("directory", "1.0", "not a line of sha256sum"),
        ("directory", "0" * 64 + "  vllm.whl", "vllm.whl is not the file name of a wheel"),
        ("directory", "0" * 64 + "  tgi-1-py3-none-any.whl", "no profile can be made of tgi"),
        ("directory", "0" * 64 + "  vllm-1-py3-none-any.whl", "there is no module vllm."),
    ],
)
def test_what_is_no_release_is_reported_in_one_sentence(
    tmp_path: Path, name: str, record: str | None, message: str
) -> None:
    source = tmp_path / name
    if name == "directory":
        source.mkdir()
    if record is not None:
        source.with_name(f"{name}.sha256").write_text(record)
    done = run(source, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_archive_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "vllm-1.0-py3-none-any.whl"
    source.write_text("not a wheel")
    done = run(source, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {source}: not a wheel; name a whole .whl file\n",
    )


@pytest.mark.parametrize("runtime", known_runtimes())
def test_the_profiles_here_are_as_the_extractor_writes_them(runtime: str) -> None:
    folder = RUNTIMES / runtime / "profiles"
    texts = render_releases(read_releases(folder))
    assert texts == {p.name: p.read_text() for p in folder.glob("*.json")}
