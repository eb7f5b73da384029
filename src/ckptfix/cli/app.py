"""The `ckptfix` command."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, Final, Literal

import typer

from ckptfix.cli.command import Command, Commands
from ckptfix.cli.completion import bash_words
from ckptfix.cli.ending import exit_code
from ckptfix.cli.streams import open_streams
from ckptfix.cli.version import print_version
from ckptfix.operations.limits import limited
from ckptfix.text import printable

COMMANDS: Final = (
    "rewrite",
    "check",
    "verify",
    "compare",
    "inspect",
    "resolve",
    "rules",
    "explain",
    "runtimes",
    "demo",
)
"""In the order of `--help`; each is a function of that name in a file of that name."""

_UsageError: Any = typer.BadParameter.__bases__[0]
"""The exceptions of Click, which Typer bundles or depends on, depending on its release."""


def _version(requested: bool) -> None:
    if requested:
        print_version()
        raise typer.Exit


def _colour(when: str) -> str:
    """Apply `--color` through environment variables, so that child processes follow it."""
    if when != "auto":
        on, off = ("FORCE_COLOR", "NO_COLOR")[:: 1 if when == "always" else -1]
        os.environ.pop(off, None)
        os.environ[on] = "1"
    return when


def _root(
    color: Annotated[
        Literal["auto", "always", "never"],
        typer.Option("--color", callback=_colour, help="Colour the output; also after a command."),
    ] = "auto",
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del color, version


def main() -> None:
    """Run the command line, and exit."""
    open_streams()
    sys.exit(exit_code(_run))


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """The command line, with the command that the first word names, or else with all of them.

    Typer looks at every parameter of every command before it runs one, or lists them.
    """
    app = typer.Typer(
        name="ckptfix",
        cls=Commands,
        help=(
            "Check and fix the metadata of quantized checkpoints so that vLLM and SGLang load them "
            "correctly.\n\nExit codes: 0 loads, or done; 1 does not load, findings, or a refused "
            "rewrite; 2 could not run."
        ),
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    lists_them = bool(words) and set(words).isdisjoint(COMMANDS)
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        function = getattr(import_module(f"ckptfix.cli.{name}"), name)
        app.command(cls=Command)(_without_parameters(function) if lists_them else function)
    return app


def _without_parameters(function: Callable[..., Any]) -> Callable[[], None]:
    def command() -> None:
        """Stands in a list, and is never run."""

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    return command


def _run() -> int:
    app = command_line(sys.argv[1:])
    try:
        with limited(), bash_words():
            return int(app(prog_name="ckptfix", standalone_mode=False) or 0)
    except _UsageError as error:
        error.message = printable(error.message)
        error.show()
        return 2
    except typer.Abort:
        return 1
