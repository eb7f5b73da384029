"""What `ckptfix demo` does: the four steps on a checkpoint with the very bug."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ckptfix.commands import arguments, suggested
from ckptfix.demo.checkpoint import make_demo_checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.report.console import line, show
from ckptfix.text import visible

STEPS = (
    ("The metadata names backbone, the runtime asks for model:", ("check",), 1),
    ("What a rewrite would change:", ("rewrite", "--dry-run"), 0),
    ("The rewrite:", ("rewrite",), 0),
    ("The metadata and the tensors now meet:", ("check",), 0),
)
"""What is shown, the command, and the exit code it must have."""


def run_demo(directory: str | None) -> None:
    """Make the checkpoint in a new directory, or in a temporary one, and run the steps."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="ckptfix-demo-") as made:
            make_demo_checkpoint(Path(made))
            _run_steps(made)
        return
    path = Path(directory)
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise CkptfixError(f"{visible(directory)}: {error.strerror}") from error
    make_demo_checkpoint(path)
    _run_steps(directory)
    show([line(f"the checkpoint is in {visible(directory)}")], sys.stdout)


def _run_steps(directory: str) -> None:
    for title, command, expected in STEPS:
        verb, *options = command
        shown = suggested(verb, directory, *options)
        show([line((f"# {title}", "dim")), line((f"$ {shown}", "bold"))], sys.stdout)
        # Real processes, so that what is shown is what a user gets.
        words = [sys.executable, "-m", "ckptfix", *arguments(verb, directory, *options)]
        done = subprocess.run(words, check=False)
        if done.returncode != expected:
            raise CkptfixError(f"{shown} ended with exit code {done.returncode}, not {expected}")
        show([line()], sys.stdout)
