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
    """Show what a checkpoint contains, where its metadata declares it, and a map of its layers.

    Example: ckptfix inspect ./Nemotron-Nano-VL-12B-V2-NVFP4 --json
    """
    from ckptfix.cli.listening import listening
    from ckptfix.operations.inspect import inspect_checkpoint
    from ckptfix.operations.layer_map import layer_map
    from ckptfix.operations.loading import load
    from ckptfix.remote.opening import NetworkPolicy
    from ckptfix.report.console import line, show, width_of, write_plain
    from ckptfix.report.inspect_json import inspection_json
    from ckptfix.report.inspect_text import inspection_lines
    from ckptfix.report.layers_text import WIDTH, layer_map_lines
    from ckptfix.runtimes.name_maps import builtin_name_map

    with listening() as listener:
        loaded = load(checkpoint, NetworkPolicy(revision, offline, refresh), listener)
        inspection = inspect_checkpoint(loaded, builtin_name_map(loaded))
        layers = None if json else layer_map(loaded.folded, builtin_name_map(loaded.folded))
    if layers is None:
        write_plain(inspection_json(inspection), sys.stdout)
        return
    show(inspection_lines(inspection), sys.stdout)
    show([line(), *layer_map_lines(layers, width_of(sys.stdout) or WIDTH)], sys.stdout)
