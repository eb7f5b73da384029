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
            help="Module names as the runtime or the checkpoint spells them; * matches any "
            "characters.",
            show_default=False,
        ),
    ],
    runtime: RuntimeOption = None,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Show, step by step, how a runtime resolves a module.

    Without --runtime, shows the newest known release of each runtime. Exit code 1 if a name matches
    no module of any of them.

    Example: ckptfix resolve ./Nemotron-Nano-VL-12B-V2-NVFP4 '*.layers.0.mixer.in_proj'
    """
    from ckptfix.cli.listening import listening
    from ckptfix.installed.targets import targets_of
    from ckptfix.operations.loading import load
    from ckptfix.operations.resolve import resolve_modules, unmatched_modules
    from ckptfix.remote.opening import NetworkPolicy
    from ckptfix.report.console import show
    from ckptfix.report.resolution import resolution_lines, unmatched_lines

    targets = targets_of(runtime or ())
    with listening() as listener:
        loaded = load(checkpoint, NetworkPolicy(revision, offline, refresh), listener)
        resolved = resolve_modules(loaded, modules, targets, listener)
    unmatched = unmatched_modules(resolved, modules)
    if len(unmatched) < len(modules):
        show(resolution_lines(resolved), sys.stdout)
    show(unmatched_lines(unmatched), sys.stderr)
    raise typer.Exit(int(bool(unmatched)))
