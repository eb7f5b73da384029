"""What a user reads after a typing error, or for a file that cannot be read."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, Call, Run

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
OURS = ("pydantic", "Value error", "Input should", "Errno", "Traceback")
"""Words of the libraries and of Python, which help nobody."""


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "llama-fp8-kv8", tmp_path / "clean"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "CKF1O1"), "did you mean CKF101"),
        (("explain", "cfk101"), "did you mean CKF101"),
        (("explain", "CKF199"), "did you mean CKF201"),
        (("explain", "XYZ"), "see ckptfix rules"),
        (("check", "clean", "--select", "CKF7O1"), "did you mean CKF701"),
        (("check", "clean", "--format", "xml"), "'xml' is unknown; known are text, json"),
        (("check", "clean", "--format", "jsn"), "'jsn' is unknown; did you mean json"),
        (("check", "clean", "--fail-on", "never"), "known are warning, error"),
        (("check", "clean", "--jobs", "zero"), "'zero' is not a whole number"),
        (("check", "clean", "--jobs", "0"), "'0' is out of range; write a whole number, 1 to 64"),
        (("verify", "clean", "--tokens", "0"), "is out of range; write a whole number, 1 to 65536"),
        (("verify", "clean", "--prefetch", "-1"), "is out of range; write a number, 0 or more"),
        (("verify", "clean", "--prefetch", "inf"), "is out of range; write a number, 0 or more"),
        (("verify", "clean", "--prefetch", "nan"), "is out of range; write a number, 0 or more"),
        (("verify", "clean", "--prefetch", "x"), "'x' is not a number"),
        (("check", "clean", "--runtime", "vlm==0.20.0"), "did you mean vllm==0.20.0"),
        (
            ("check", "clean", "--runtime", "vllm==0.1"),
            "or ask the release itself where it is installed: vllm@PYTHON",
        ),
        (("rewrite", "clean", "--output", "no/such"), "no does not exist; create it first"),
        (("check", "clean", "--output-file", "no/r"), "no does not exist; create it first"),
        (("demo", "clean"), "clean: already exists; name a new directory"),
        (("rewrite", "clean", "--output", "x" * 300), "File name too long"),
        (("check", "clean", "--output-file", "x" * 300), "File name too long"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_one_sentence_has_the_problem_and_what_to_do(
    clean: Path, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not any(word in done.stderr for word in OURS)
    assert clean.is_dir()


def test_a_git_lfs_pointer_is_named_as_one(clean: Path, call: Call) -> None:
    (clean / "model.safetensors").write_text(POINTER)
    done = call("check", clean)
    assert done.returncode == 2
    assert "model.safetensors: not a safetensors file but a Git LFS pointer to one" in done.stderr
    assert done.stderr.endswith("run git lfs pull\n")


def test_a_module_that_no_release_builds(call: Call) -> None:
    done = call("resolve", DATA / "nanovl-mixed", "language_model.model.layers.3.mixer.qkv")
    assert done.returncode == 1
    assert done.stdout == ""
    first, _, nearest = done.stderr.partition("; did you mean ")
    assert first == "error: no module is named language_model.model.layers.3.mixer.qkv"
    assert nearest.split(",")[0] == "language_model.model.layers.3.mixer.qkv_proj"
    both = call("resolve", DATA / "nanovl-mixed", "*.3.mixer.q*", "model.layers.99.*")
    assert both.returncode == 1
    assert "qkv_proj" in both.stdout
    assert "model.layers.99.*" in both.stderr
    assert call("resolve", DATA / "nanovl-mixed", "*.3.mixer.q*").returncode == 0


def test_a_release_typed_as_a_runtime_stays_one(call: Call) -> None:
    done = call("check", DATA / "nanovl-mixed", "--runtime", "vllm", "--runtime", "sglang>=0.5.17")
    command = done.stdout.partition("Next step\n")[2].partition("#")[0].split()
    assert command[2:] == [
        str(DATA / "nanovl-mixed"), "--runtime", "vllm", "--runtime", "'sglang>=0.5.17'",
    ]  # fmt: skip


UNREADABLE = {
    "the directory": ("", ("check", "clean")),
    "its backup": (".ckptfix", ("check", "clean")),
    "the backup to undo": (".ckptfix", ("rewrite", "clean", "--undo")),
    "the record to undo": (".ckptfix/undo.json", ("rewrite", "clean", "--undo")),
    "config.json": ("config.json", ("check", "clean")),
    "a shard file": ("model.safetensors", ("inspect", "clean")),
    "what lies below": ("", ("check", "clean/x")),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_may_not_be_read_is_reported_without_an_error_number(what: str, clean: Path) -> None:
    secret, arguments = UNREADABLE[what]
    (clean / ".ckptfix").mkdir()
    (clean / ".ckptfix" / "undo.json").write_text(json.dumps({}))
    path = clean / secret
    path.chmod(0)
    words = [sys.executable, "-m", "ckptfix", *arguments]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything")
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    done = subprocess.run(words, cwd=clean.parent, capture_output=True, text=True, check=False)
    path.chmod(0o700)
    if "setpriv" in done.stderr:
        pytest.skip("root reads everything here")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Permission denied" in done.stderr
    assert not any(word in done.stderr for word in OURS)
