"""Standard streams that are closed, full, or whose reader has gone away, in real processes."""

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, CopyOf, Run, files_of

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
NANO_VL, CLEAN = DATA / "nanovl-mixed", DATA / "llama-fp8-kv8"
FULL = "error: cannot write to standard output: No space left on device"
DEMO = re.compile(r"ckptfix-demo-\w+")
CLOSED = "error: cannot write to standard output: it is closed"

WRITING = [
    (["--help"], 0),
    (["--version"], 0),
    (["check", "--help"], 0),
    (["check", NANO_VL], 1),
    (["check", CLEAN], 0),
    (["check", CLEAN, "nowhere"], 2),
    (["check", NANO_VL, "--json"], 1),
    (["check", NANO_VL, CLEAN, "--format", "jsonl"], 1),
    (["check", NANO_VL, "--format", "github"], 1),
    (["inspect", NANO_VL], 0),
    (["inspect", NANO_VL, "--json"], 0),
    (["resolve", NANO_VL, "*"], 0),
    (["rules"], 0),
    (["rules", "--json"], 0),
    (["explain", "CKF101"], 0),
    (["runtimes", "--json"], 0),
    (["rewrite", NANO_VL, "--dry-run"], 0),
    (["rewrite", NANO_VL, "--dry-run", "--exit-code"], 1),
    (["demo"], 0),
]
"""What writes to stdout, and its exit code."""


def shell(redirections: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `ckptfix` with the redirections of a shell."""
    return subprocess.run(
        [
            *("bash", "-c", f'"$@" {redirections}', "-"),
            *(sys.executable, "-m", "ckptfix", *map(str, arguments)),
        ],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "SHELL": "/bin/bash"},
        cwd=DATA,
    )


def without_reader(*arguments: object, stream: str = "stdout") -> subprocess.CompletedProcess[str]:
    """Run `ckptfix` with a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "ckptfix", *map(str, arguments)],
            check=False,
            stdout=writer if stream == "stdout" else subprocess.PIPE,
            stderr=writer if stream == "stderr" else subprocess.PIPE,
            encoding="utf-8",
            cwd=DATA,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize(("arguments", "code"), WRITING)
def test_stdout_that_takes_nothing_is_an_error_without_a_reader_it_is_none(
    arguments: list[object], code: int
) -> None:
    for redirection, sentence in ((">/dev/full", FULL), (">&-", CLOSED)):
        done = shell(redirection, *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].startswith(sentence)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
    usual = shell("", *arguments)
    gone = without_reader(*arguments)
    assert (usual.returncode, gone.returncode) == (code, code), gone.stderr
    assert DEMO.sub("", gone.stderr) == DEMO.sub("", usual.stderr)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["rewrite", NANO_VL, "--dry-run"], 0),
        (["check", CLEAN, "nowhere"], 2),
        (["check", NANO_VL, "--no-such-option"], 2),
        (["explain", "CKF999"], 2),
        ([], 2),
    ],
)
def test_stderr_that_takes_nothing_changes_nothing(arguments: list[object], code: int) -> None:
    usual = shell("", *arguments)
    assert usual.returncode == code
    assert usual.stderr
    for done in (
        shell("2>/dev/full", *arguments),
        shell("2>&-", *arguments),
        without_reader(*arguments, stream="stderr"),
    ):
        assert (done.returncode, done.stdout) == (code, usual.stdout)


def test_no_stream_at_all() -> None:
    assert shell("<&- >&- 2>&-", "check", CLEAN).returncode == 2
    assert shell("<&- >&- 2>&-", "check", "nowhere").returncode == 2
    assert shell("<&-", "check", CLEAN).returncode == 0


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = shell(f"> '{report}'", "check", NANO_VL, "--json")
    assert (done.returncode, report.stat().st_size > 10_000) == (1, True)
    for redirection, option, sentence in (
        ('> "$0"', (), "error: cannot write to standard output: File too large\n"),
        (
            "",
            ("--output-file", report),
            f"error: --output-file {report}: File too large; choose another path\n",
        ),
    ):
        report.unlink()
        report.touch()
        limited = subprocess.run(
            [
                *("bash", "-c", f'ulimit -f 4; "$@" {redirection}', str(report)),
                *(sys.executable, "-m", "ckptfix", "check", str(NANO_VL), "--json"),
                *map(str, option),
            ],
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        assert (limited.returncode, limited.stderr) == (2, sentence)
        assert report.stat().st_size == (0 if option else 4096)
        assert os.listdir(tmp_path) == ["report"]


def test_a_pipe_that_does_not_block_gets_all_of_a_long_report() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        [sys.executable, "-m", "ckptfix", "check", NANO_VL, "--json", "--runtime", "vllm"],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    with process, os.fdopen(reader) as pipe:
        report = pipe.read()
        assert process.wait() == 1
    assert len(report) > 10 * 4096
    assert json.loads(report)["exit_code"] == 1


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [("<&-", "standard input is closed"), ("< /dev/null", "names no checkpoint")],
)
def test_names_from_a_stdin_that_gives_none(redirection: str, reason: str) -> None:
    done = shell(redirection, "check", "--from-file", "-")
    assert (done.returncode, done.stderr) == (2, f"error: --from-file -: {reason}\n")


def test_a_report_in_a_file_needs_no_stdout(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ("check", NANO_VL, "--json", "--output-file", report)
    assert shell(">&-", *options).returncode == 1
    assert json.loads(report.read_text())["exit_code"] == 1
    done = shell("", "check", NANO_VL, "--output-file", "/dev/full")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "error: --output-file /dev/full: not a regular file; choose another path\n"
    )


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_a_rewrite_that_cannot_be_reported_is_done_and_can_be_undone(
    copy_of: CopyOf, run: Run, redirection: str
) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    done = shell(redirection, "rewrite", directory)
    assert done.returncode == 2
    assert done.stderr.endswith(f"; the rewrite of {directory} is done\n")
    assert run("check", directory, "--runtime", "vllm>=0.17").returncode == 0
    shown = run("rewrite", directory)
    assert shown.stdout.startswith(f"{directory}: nothing to rename\n")
    done = shell(redirection, "rewrite", directory, "--undo")
    assert done.returncode == 2
    assert done.stderr.endswith(f"; the undo of {directory} is done\n")
    assert files_of(directory) == before


def test_an_output_that_cannot_be_reported_is_whole(run: Run, tmp_path: Path) -> None:
    done = shell(">/dev/full", "rewrite", NANO_VL, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.endswith(f"; the rewrite of {tmp_path / 'out'} is done\n")
    assert run("check", tmp_path / "out", "--runtime", "vllm>=0.17").returncode == 0


def test_a_rewrite_without_a_reader_is_silent(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    done = without_reader("rewrite", directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert run("check", directory, "--runtime", "vllm>=0.17").returncode == 0


def test_a_demo_that_cannot_be_shown_leaves_nothing(tmp_path: Path) -> None:
    done = shell(f"> /dev/full; code=$?; ls -A '{tmp_path}'; exit $code", "demo")
    assert (done.returncode, done.stdout) == (2, "")
