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
    import fnmatch
    import re

    from ckptfix.cli.judging import asked_targets, judge_all, newest_targets
    from ckptfix.cli.loading import load
    from ckptfix.remote.opening import Reach
    from ckptfix.report.console import show
    from ckptfix.report.resolution import resolution_lines

    targets = asked_targets(runtime) if runtime else newest_targets()
    wanted = re.compile("|".join(fnmatch.translate(pattern) for pattern in modules))
    loaded = load(checkpoint, Reach(revision, offline, refresh))
    for verdict in judge_all(loaded, targets):
        show(resolution_lines(verdict, wanted), sys.stdout)
