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
    from ckptfix.cli.loading import load, name_map_for
    from ckptfix.remote.opening import Reach
    from ckptfix.report.console import show, write_plain
    from ckptfix.report.inspection import inspect_checkpoint, inspection_json, inspection_lines

    loaded = load(checkpoint, Reach(revision, offline, refresh))
    inspection = inspect_checkpoint(loaded, name_map_for(loaded, None, None))
    if json:
        write_plain(inspection_json(inspection), sys.stdout)
    else:
        show(inspection_lines(inspection), sys.stdout)
