"""`ckptfix inspect`."""

import sys

from ckptfix.cli.options import CheckpointArgument, JsonOption


def inspect(directory: CheckpointArgument, json: JsonOption = False) -> None:
    """Show what a checkpoint is, and where its metadata says so.

    Example: ckptfix inspect ./Nemotron-Nano-VL-12B-V2-NVFP4 --json
    """
    from ckptfix.cli.loading import load, name_map_for
    from ckptfix.report.console import show
    from ckptfix.report.inspection import inspect_checkpoint, inspection_json, inspection_lines

    checkpoint = load(directory)
    inspection = inspect_checkpoint(checkpoint, name_map_for(checkpoint, None, None))
    if json:
        sys.stdout.write(inspection_json(inspection))
    else:
        show(inspection_lines(inspection), sys.stdout)
