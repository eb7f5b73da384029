"""The `ckptfix` command."""

import gc
import sys
from typing import Annotated, Any

import typer

from ckptfix import __version__
from ckptfix.cli.check import check
from ckptfix.cli.command import Command
from ckptfix.cli.demo import demo
from ckptfix.cli.explain import explain
from ckptfix.cli.inspect import inspect
from ckptfix.cli.resolve import resolve
from ckptfix.cli.rewrite import rewrite
from ckptfix.cli.rules import rules
from ckptfix.cli.runtimes import runtimes
from ckptfix.cli.streams import open_streams
from ckptfix.cli.verify import verify
from ckptfix.errors import CkptfixError
from ckptfix.operations.limits import limited
from ckptfix.report.console import line, write_plain
from ckptfix.text import printable, visible

app = typer.Typer(
    name="ckptfix",
    help=(
        "Make a quantized checkpoint's metadata and a serving runtime's module names meet.\n\n"
        "Exit codes: 0 clean or done, 1 findings or a refused rewrite, 2 could not run."
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (rewrite, check, verify, inspect, resolve, rules, explain, runtimes, demo):
    app.command(cls=Command)(command)


_UsageError: Any = typer.BadParameter.__bases__[0]
"""Of Click, which Typer has inside or beside it, depending on its release."""


def _version(asked: bool) -> None:
    if asked:
        write_plain([line(f"ckptfix {__version__}")], sys.stdout)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every expected failure ends in one sentence and exit code 2."""
    open_streams()
    # What a command builds lives to its end: a collector that walks a million names finds nothing.
    gc.disable()
    try:
        code = _run()
    finally:
        gc.enable()
    sys.exit(code)


def _run() -> int:
    try:
        with limited():
            try:
                return int(app(prog_name="ckptfix", standalone_mode=False) or 0)
            finally:
                sys.stdout.flush()
    except CkptfixError as error:
        return _failed(f"error: {visible(str(error))}")
    except _UsageError as error:
        error.message = printable(error.message)
        error.show()
        return 2
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold what filled the memory
        return _failed("error: this needs more memory than the process may have")
    except typer.Abort:
        return 1
    except KeyboardInterrupt:
        return _failed("interrupted", 130)


def _failed(sentence: str, code: int = 2) -> int:
    write_plain([line(sentence)], sys.stderr)
    return code
