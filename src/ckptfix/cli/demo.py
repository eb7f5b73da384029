"""`ckptfix demo`."""

import sys
from typing import Annotated

import typer


def demo(
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR]",
            help="New directory for the checkpoint. Default: a temporary one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create a small Nano VL checkpoint that has the bug, show the repair, and undo it.

    Example: ckptfix demo
    """
    import tempfile
    from pathlib import Path

    from ckptfix.cli.ending import stopped
    from ckptfix.demo.checkpoint import make_demo_checkpoint, make_in
    from ckptfix.report.console import line, show
    from ckptfix.text import visible

    if directory is None:
        with tempfile.TemporaryDirectory(prefix="ckptfix-demo-") as made:
            make_demo_checkpoint(Path(made))
            _run_steps(made)
    else:
        with stopped(lambda: f"what was made is in {visible(directory)}"):
            make_in(directory)
            _run_steps(directory)
        left = f"the checkpoint is in {visible(directory)}, with the bug: try the commands on it"
        show([line(left), line()], sys.stdout)
    own = [line("Your own checkpoint, a directory or a repository of the Hub:")]
    for command, what in OWN:
        own += [line((f"  ckptfix {command}", "bold")), line(f"      # {what}")]
    show(own, sys.stdout)


OWN = (
    ("check DIR", "will it load, on which releases, and what to run next"),
    ("rewrite DIR", "repairs the metadata; --dry-run shows the patch, --undo takes it back"),
)
"""The two commands that matter, and what each does."""


STEPS = (
    ('The metadata says "backbone"; the runtime looks for "model":', ("check",), 1),
    ("What a rewrite would change:", ("rewrite", "--dry-run"), 0),
    ("The rewrite:", ("rewrite",), 0),
    ("Metadata and runtime now agree:", ("check",), 0),
    ("As exported again:", ("rewrite", "--undo"), 0),
)
"""What is shown, the command, and the exit code it must have."""


def _run_steps(directory: str) -> None:
    import subprocess

    from ckptfix.errors import CkptfixError
    from ckptfix.report.commands import arguments, suggested
    from ckptfix.report.console import line, show

    for title, command, expected in STEPS:
        verb, *options = command
        shown = suggested(verb, directory, *options)
        show([line((f"# {title}", "dim")), line((f"$ {shown}", "bold"))], sys.stdout)
        # Real processes, so that the output is what a user gets.
        words = [sys.executable, "-m", "ckptfix", *arguments(verb, directory, *options)]
        done = subprocess.run(words, check=False)
        if done.returncode != expected:
            raise CkptfixError(f"{shown} ended with exit code {done.returncode}, not {expected}")
        show([line()], sys.stdout)
