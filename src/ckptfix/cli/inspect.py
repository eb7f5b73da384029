"""`ckptfix inspect`."""

import sys

from ckptfix.cli.options import (
    CheckpointArgument,
    JsonOption,
    OfflineOption,
    RefreshOption,
    RevisionOption,
)


def inspect(
    checkpoint: CheckpointArgument,
    json: JsonOption = False,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Show what a checkpoint is, and where its metadata says so.

    Example: ckptfix inspect ./Nemotron-Nano-VL-12B-V2-NVFP4 --json
    """
    from ckptfix.cli.listening import listening
    from ckptfix.operations.inspect import inspect_checkpoint
    from ckptfix.operations.loading import load
    from ckptfix.remote.opening import Reach
    from ckptfix.report.console import show, write_plain
    from ckptfix.report.inspect_json import inspection_json
    from ckptfix.report.inspect_text import inspection_lines
    from ckptfix.runtimes.name_maps import builtin_name_map

    with listening() as listener:
        loaded = load(checkpoint, Reach(revision, offline, refresh), listener)
        inspection = inspect_checkpoint(loaded, builtin_name_map(loaded))
    if json:
        write_plain(inspection_json(inspection), sys.stdout)
    else:
        show(inspection_lines(inspection), sys.stdout)
