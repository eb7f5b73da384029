"""`ckptfix compare`."""

import sys
from typing import Annotated

import typer

from ckptfix.cli.options import (
    CheckpointArgument,
    JsonOption,
    OfflineOption,
    RefreshOption,
    RevisionOption,
)

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help="The unquantized checkpoint that CHECKPOINT was made from.",
        show_default=False,
    ),
]
DraftOption = Annotated[
    str | None,
    typer.Option(
        "--draft",
        metavar="DRAFTER",
        help="The drafter to serve CHECKPOINT with (EAGLE-3, DFlash, MTP), quantized or not.",
        show_default=False,
    ),
]


def compare(
    checkpoint: CheckpointArgument,
    source: SourceArgument = None,
    draft: DraftOption = None,
    json: JsonOption = False,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Compare a checkpoint with its source, or with its drafter, without reading weights.

    Every tensor of the source must be present, quantized or not, with a matching shape. A drafter
    must have the vocabulary and hidden size of the target, read only layers that the target has,
    and declare how it is quantized. The exit code is 0 if all of that holds, 1 if not, 2 if it
    could not run.

    Example: ckptfix compare ./Qwen3-8B-NVFP4 Qwen/Qwen3-8B --draft ./Qwen3-8B-EAGLE3
    """
    from ckptfix.cli.listening import listening
    from ckptfix.errors import CkptfixError
    from ckptfix.operations.compare import compare as run
    from ckptfix.report.compare_json import comparison_json
    from ckptfix.report.compare_text import comparison_lines
    from ckptfix.report.console import show, write_plain

    if source is None and draft is None:
        raise CkptfixError("nothing to compare with", advice="name a SOURCE, or use --draft")
    with listening() as listener:
        found = run(
            checkpoint,
            source,
            draft=draft,
            revision=revision,
            offline=offline,
            refresh=refresh,
            listener=listener,
        )
    if json:
        write_plain(comparison_json(found), sys.stdout)
    else:
        show(comparison_lines(found), sys.stdout)
    raise typer.Exit(int(not found.passes))
