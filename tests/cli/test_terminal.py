"""No name acts on a terminal: escapes are shown, markup is text."""

import re
from pathlib import Path

import pytest

from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import Run
from tests.fuzz.guard import assert_printable

EVIL = "\x1b]0;owned\x07\x9b2J\u202e[bold red]x[/]"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "--runtime", "vllm==0.33.0", "--verbose"],
        ["inspect"],
        ["resolve", "*"],
        ["rewrite"],
        ["rewrite", "--no-such-\x1b[2J"],
    ],
    ids=lambda arguments: ascii(" ".join(arguments)),
)
def test_in_colour_too(tmp_path: Path, run: Run, arguments: list[str]) -> None:
    tensors = {**fp8(f"model.{EVIL}"), **bf16("lm_head")}
    layers = mixed({f"model.{EVIL}": "FP8", f"gone.{EVIL}": "FP8"}, ignore=[EVIL])
    directory = write_checkpoint(tmp_path / f"c{EVIL.replace('/', '')}", tensors, layers)
    command, *options = arguments
    done = run(command, directory, *options, FORCE_COLOR="1")
    assert_printable(COLOUR.sub("", done.stdout + done.stderr))
    assert "Traceback" not in done.stderr


def test_markup_is_text(tmp_path: Path, run: Run) -> None:
    tensors = {**fp8("model.a"), **bf16("lm_head")}
    layers = mixed({"model.a": "FP8", "gone.[bold red]x[/]": "FP8"})
    directory = write_checkpoint(tmp_path / "c", tensors, layers)
    assert "gone.[bold red]x[/]" in COLOUR.sub("", run("check", directory, FORCE_COLOR="1").stdout)
