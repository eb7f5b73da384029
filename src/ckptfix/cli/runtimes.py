"""`ckptfix runtimes`."""

import sys
from typing import Annotated

import typer

from ckptfix.cli.options import JsonOption


def runtimes(
    architecture: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARCHITECTURE]",
            help="An entry of `architectures` in config.json.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the runtime releases that are known, or what each of them does with an architecture.

    Example: ckptfix runtimes NemotronH_Nano_VL_V2
    """
    from ckptfix.report.console import show, write_plain
    from ckptfix.report.runtimes_text import architecture_lines, release_lines, rows_json
    from ckptfix.runtimes.catalogue import architecture_rows, release_rows

    if architecture is None:
        releases = release_rows()
        if json:
            write_plain(rows_json(releases), sys.stdout)
        else:
            show(release_lines(releases), sys.stdout)
        return
    rows = architecture_rows(architecture)
    if json:
        write_plain(rows_json(rows), sys.stdout)
    else:
        show(architecture_lines(architecture, rows), sys.stdout)
