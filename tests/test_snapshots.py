"""What every screen shows, one file a screen; `make snapshots` writes all of them again."""

import os
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pytest

from ckptfix.demo.checkpoint import make_demo_checkpoint
from tests.conftest import DATA, Run

SNAPSHOTS = Path(__file__).parent / "snapshots"
ROOT = Path(__file__).parents[1]
PAGES = {
    page: page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
UPDATE = os.environ.get("UPDATE_SNAPSHOTS") == "1"
OLD_VLLM = ("--runtime", "vllm==0.17.1")
NEW_VLLM = ("--runtime", "vllm==0.33.0")
SCREENS: dict[str, tuple[Literal["stdout", "stderr"], int, tuple[str, ...]]] = {
    "check_clean": ("stdout", 0, ("check", "clean")),
    "check_github": ("stdout", 1, ("check", "nano-vl", "--format", "github", *OLD_VLLM)),
    "check_runtimes": ("stdout", 1, ("check", "nano-vl", *OLD_VLLM, *NEW_VLLM)),
    "check_several": ("stdout", 2, ("check", "nano-vl", "clean", "nowhere")),
    "check_text_nano_vl": ("stdout", 1, ("check", "nano-vl")),
    "explain": ("stdout", 0, ("explain", "CKF207")),
    "inspect": ("stdout", 0, ("inspect", "nano-vl")),
    "resolve": ("stdout", 0, ("resolve", "nano-vl", "*.3.mixer.q*", *OLD_VLLM, *NEW_VLLM)),
    "rewrite_dry_run_stderr": ("stderr", 0, ("rewrite", "nano-vl", "--dry-run")),
    "rewrite_refused": ("stdout", 1, ("rewrite", "refused", "--strategy", "rename")),
    "rewrite_result": ("stdout", 0, ("rewrite", "nano-vl")),
    "rewrite_tensors": ("stdout", 0, ("rewrite", "tensors", "--tensors")),
    "rules": ("stdout", 0, ("rules",)),
    "runtimes": ("stdout", 0, ("runtimes", "NemotronH_Nano_VL_V2")),
    "verify": ("stdout", 0, ("verify", "nano-vl", "--device", "cpu", "--all")),
}
CHECKPOINTS = {
    "nano-vl": "nanovl-mixed",
    "clean": "llama-fp8-kv8",
    "refused": "recipe-nano4b-nvfp4_w4a16",
    "tensors": "nemotronh-moe-super-nulbug",
}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for name, fixture in CHECKPOINTS.items():
        shutil.copytree(DATA / fixture, tmp_path / name)
    return tmp_path


def steady(shown: str) -> str:
    """Without what differs from run to run or from machine to machine: times, errors, torch."""
    shown = re.sub(r"0\.\d{4}\b", "0.0000", shown)
    shown = re.sub(r" +[\d.]+ ms", " 0.0 ms", shown)
    shown = re.sub(r"in [\d.]+ s$", "in 0.0 s", shown, flags=re.MULTILINE)
    return re.sub(r"torch \d+\.\d+\S*", "torch VERSION", shown)


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_recorded(name: str, run: Run) -> None:
    stream, code, arguments = SCREENS[name]
    if arguments[0] == "verify" and find_spec("torch") is None:
        pytest.skip("no torch")
    done = run(*arguments, COLUMNS="80")
    assert done.returncode == code, done.stderr
    shown = steady(getattr(done, stream))
    recorded = SNAPSHOTS / f"{name}.txt"
    if UPDATE:
        recorded.write_text(shown, encoding="utf-8")
    assert shown == recorded.read_text(encoding="utf-8"), "run make snapshots"


def test_no_screen_is_recorded_that_is_no_more() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == set(SCREENS)


CUT = "...\n"
"""The last line of a transcript that shows only the beginning of the output."""


@pytest.fixture
def folder_of_a_reader(checkpoints: Path) -> Path:
    """Where the commands of the pages are typed, after `ckptfix demo nano-vl`."""
    shutil.rmtree(checkpoints / "nano-vl")
    (checkpoints / "nano-vl").mkdir()
    make_demo_checkpoint(checkpoints / "nano-vl")
    return checkpoints


def transcripts(text: str) -> list[str]:
    """The blocks of a page that show a command and its output; `verify` has a screen instead."""
    return [block for block in CONSOLE.findall(text) if not block.startswith("$ ckptfix verify ")]


@pytest.mark.usefixtures("folder_of_a_reader")
@pytest.mark.parametrize(
    "page", [page for page, text in PAGES.items() if transcripts(text)], ids=lambda page: page.stem
)
def test_the_transcripts_of_a_page_are_what_is_printed(page: Path, run: Run) -> None:
    text = PAGES[page]
    for block in transcripts(text):
        command, *shown = block.removeprefix("$ ").splitlines(keepends=True)
        lines = run(*shlex.split(command)[1:], COLUMNS="80").stdout.splitlines(keepends=True)
        if shown[-1] == CUT:
            lines = [*lines[: len(shown) - 1], CUT]
        made = f"$ {command}{''.join(lines)}"
        if UPDATE:
            text = text.replace(f"```console\n{block}```", f"```console\n{made}```", 1)
        else:
            assert block == made, "run make snapshots"
    if UPDATE:
        page.write_text(text, encoding="utf-8")


def test_the_readme_fits_a_few_screens_and_shows_the_repair() -> None:
    text = PAGES[ROOT / "README.md"]
    assert len(text.splitlines()) < 150
    shown = [block.partition("\n")[0].split()[2] for block in transcripts(text)]
    assert shown == ["check", "rewrite", "check"]
