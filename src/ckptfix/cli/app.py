"""The `ckptfix` command."""

import gc
import os
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
from ckptfix.cli.verify import verify
from ckptfix.errors import CkptfixError
from ckptfix.operations.limits import limited
from ckptfix.report.console import make_robust
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
        typer.echo(f"ckptfix {__version__}")
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
    make_robust()
    # What a command builds lives to its end: a collector that walks a million names finds nothing.
    gc.disable()
    try:
        with limited():
            sys.exit(app(prog_name="ckptfix", standalone_mode=False))
    except CkptfixError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        sys.exit(2)
    except _UsageError as error:
        error.message = printable(error.message)
        error.show()
        sys.exit(2)
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold what filled the memory
        typer.echo("error: this needs more memory than the process may have", err=True)
        sys.exit(2)
    except typer.Abort:
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; leave without a second complaint at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    finally:
        gc.enable()
