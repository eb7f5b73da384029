"""`ckptfix runtimes`."""

import sys
from typing import Annotated

import typer

from ckptfix.cli.completion import architectures, releases
from ckptfix.cli.options import JsonOption


def runtimes(
    architecture: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARCHITECTURE]",
            autocompletion=architectures,
            help="An entry of `architectures` in config.json.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            metavar="SPEC",
            autocompletion=releases,
            help="List where these releases put the modules of a checkpoint: vllm==0.33.0, "
            "'sglang>=0.5.20'; repeatable.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the known runtime releases, or what each of them does with an architecture.

    With --runtime, list where its class puts the modules of a checkpoint, and the name under which
    each is looked up in the quantization config. The rows were learned from the classes themselves.

    Example: ckptfix runtimes NemotronH_Nano_VL_V2
    """
    from ckptfix.errors import CkptfixError
    from ckptfix.report.console import show, write_plain
    from ckptfix.report.runtimes_text import (
        architecture_lines,
        learned_lines,
        release_table,
        rows_json,
    )
    from ckptfix.runtimes.catalogue import architecture_rows, learned_architecture, release_rows
    from ckptfix.runtimes.releases import requested_targets

    if runtime:
        if architecture is None:
            raise CkptfixError("--runtime needs an architecture", advice="name one before it")
        targets = requested_targets(runtime)
        found = tuple(learned_architecture(architecture, target) for target in targets)
        if json:
            write_plain(rows_json(found), sys.stdout)
        else:
            show(learned_lines(found), sys.stdout)
        return
    if architecture is None:
        releases = release_rows()
        if json:
            write_plain(rows_json(releases), sys.stdout)
        else:
            show([release_table(releases)], sys.stdout)
        return
    rows = architecture_rows(architecture)
    if json:
        write_plain(rows_json(rows), sys.stdout)
    else:
        show(architecture_lines(architecture, rows), sys.stdout)
