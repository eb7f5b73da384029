"""`ckptfix inspect`."""

import sys

from ckptfix.checkpoint.checkpoint import load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.options import CheckpointArgument, JsonOption, name_map_for
from ckptfix.report.console import show
from ckptfix.report.inspection import inspect_checkpoint, inspection_lines
from ckptfix.report.json_report import inspect_json
from ckptfix.rewrite.apply import require_whole


def inspect(directory: CheckpointArgument, json: JsonOption = False) -> None:
    """Show what a checkpoint is: formats, sizes, files, KV cache, and where metadata says so.

    Example: ckptfix inspect ./Nemotron-Nano-VL-12B-V2-NVFP4 --json
    """
    source = DirectorySource.open(directory)
    require_whole(source)
    checkpoint = load_checkpoint(source, directory)
    inspection = inspect_checkpoint(checkpoint, name_map_for(checkpoint, None, None))
    if json:
        sys.stdout.write(inspect_json(inspection))
    else:
        show(inspection_lines(inspection), sys.stdout)
