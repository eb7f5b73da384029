"""`ckptfix resolve`."""

import sys
from typing import Annotated

import typer

from ckptfix.cli.options import (
    CheckpointArgument,
    OfflineOption,
    RefreshOption,
    RevisionOption,
    RuntimeOption,
)


def resolve(
    checkpoint: CheckpointArgument,
    modules: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE...",
            help="Module names, the runtime's or the checkpoint's; * stands for any characters.",
            show_default=False,
        ),
    ],
    runtime: RuntimeOption = None,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Show how a runtime gets to its answer for a module, step by step.

    Without --runtime, for the newest known release of each runtime.

    Example: ckptfix resolve ./Nemotron-Nano-VL-12B-V2-NVFP4 '*.layers.0.mixer.in_proj'
    """
    from ckptfix.cli.listening import listening
    from ckptfix.operations.loading import load
    from ckptfix.operations.resolve import resolve_modules
    from ckptfix.remote.opening import Reach
    from ckptfix.report.console import show
    from ckptfix.report.resolution import resolution_lines
    from ckptfix.runtimes.releases import asked_targets

    targets = asked_targets(runtime or ())
    with listening() as listener:
        loaded = load(checkpoint, Reach(revision, offline, refresh), listener)
        resolved = resolve_modules(loaded, modules, targets, listener)
    for release in resolved:
        show(resolution_lines(release), sys.stdout)
