"""What a process spares itself at its start and end, and that nobody notices."""

import subprocess
import sys
from pathlib import Path

import pytest

from ckptfix import __version__
from tests.conftest import DATA

NANO_VL = DATA / "nanovl-mixed"


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_printed_without_a_command_line(option: str) -> None:
    code = (
        "import sys; from ckptfix.__main__ import main\n"
        "try: main()\n"
        "finally: print({'typer', 'msgspec'} & set(sys.modules))"
    )
    assert python(code, option).stdout == f"ckptfix {__version__}\nset()\n"


def test_what_was_registered_for_the_end_still_runs() -> None:
    code = (
        "import atexit; from ckptfix.__main__ import script\n"
        "atexit.register(print, 'first'); atexit.register(print, 'last')\n"
        "script()"
    )
    done = python(code, "check", str(NANO_VL))
    assert done.returncode == 1
    assert done.stdout.endswith("last\nfirst\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", str(NANO_VL), "--jobs", "0"], "--jobs"),
        (["check", str(NANO_VL), "--jobs", "x"], "--jobs"),
        (["check", str(NANO_VL), "--fail-on", "never"], "--fail-on"),
        (["rewrite", str(NANO_VL), "--strategy", "x"], "--strategy"),
    ],
)
def test_typer_still_converts_and_refuses_what_is_typed(arguments: list[str], message: str) -> None:
    done = python("from ckptfix.__main__ import script; script()", *arguments)
    assert done.returncode == 2
    assert f"Invalid value for '{message}'" in done.stderr


def test_values_arrive_as_the_command_declares_them(tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_text(f"{NANO_VL}\n")
    options = ["--jobs", "2", "--ignore", "CKF1", "--ignore", "CKF2", "--fail-on", "error"]
    options += ["--runtime", "vllm==0.33.0"]
    script = "from ckptfix.__main__ import script; script()"
    done = python(script, "check", "--from-file", str(listed), *options)
    assert (done.returncode, done.stderr) == (0, "")
