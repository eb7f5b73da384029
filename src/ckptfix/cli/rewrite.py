"""`ckptfix rewrite`."""

from typing import Annotated, Literal

import typer

from ckptfix.cli.options import (
    CheckpointArgument,
    MapOption,
    MapperOption,
    OfflineOption,
    RefreshOption,
    RevisionOption,
    RuntimeOption,
)

StrategyOption = Annotated[
    Literal["auto", "rename", "alias"],
    typer.Option(
        "--strategy",
        help=(
            "rename: follow the name map; alias: keep every name and add those that a release "
            "asks for; auto: rename where that helps, then add aliases."
        ),
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Write nothing; print a diff that git can apply.")
]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="With --dry-run: exit 1 if something would change.")
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Leave the checkpoint alone and make a repaired one here; weights are linked, and of "
        "a repository left out unless --with-weights.",
        show_default=False,
    ),
]
FromTensorsOption = Annotated[
    bool,
    typer.Option(
        "--from-tensors",
        help="First make the metadata say what the tensors say: missing or wrong entries, "
        "algorithms, group sizes and exclude patterns, or all of it.",
    ),
]
TensorsOption = Annotated[
    bool,
    typer.Option(
        "--tensors",
        help="First rename tensors, in the headers of the shard files: those that --map or "
        "--mapper name, else those that no runtime loads as they are called. Data are not moved.",
    ),
]
WithWeightsOption = Annotated[
    bool, typer.Option("--with-weights", help="With --output: download the weights too.")
]
CreatePrOption = Annotated[
    bool,
    typer.Option(
        "--create-pr",
        help="Open a pull request with the changed files on the Hub; --dry-run shows diff, title "
        "and body.",
    ),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Then run ckptfix verify on the result, with the releases of --runtime; needs torch.",
    ),
]
UndoOption = Annotated[
    bool, typer.Option("--undo", help="Restore the files as they were before the first rewrite.")
]
ForgetOption = Annotated[
    bool,
    typer.Option("--forget", help="Remove what is kept in .ckptfix for --undo, once you are sure."),
]


def rewrite(
    checkpoint: CheckpointArgument,
    dry_run: DryRunOption = False,
    exit_code: ExitCodeOption = False,
    maps: MapOption = None,
    mapper: MapperOption = None,
    output: OutputOption = None,
    runtime: RuntimeOption = None,
    strategy: StrategyOption = "auto",
    from_tensors: FromTensorsOption = False,
    tensors: TensorsOption = False,
    verify: VerifyOption = False,
    undo_: UndoOption = False,
    forget: ForgetOption = False,
    with_weights: WithWeightsOption = False,
    create_pr: CreatePrOption = False,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Rename modules in the metadata so that the runtime finds them; --tensors for tensors.

    Names are chosen for the releases of --runtime; without it for every known release that builds
    the architecture, newest first; with --map or --mapper alone as these say. The result is
    verified against the tensors, and against what each release would resolve, before a byte is
    written. Exit code 0 if done or nothing to do, 1 if the rewrite would do harm and was refused,
    or if --verify fails, 2 if it could not run.

    Example: ckptfix rewrite ./Nemotron-Nano-VL-12B-V2-NVFP4 --dry-run
    """
    from ckptfix.cli.rewriting import RewriteFlags, run_rewrite
    from ckptfix.remote.opening import Reach

    flags = RewriteFlags(
        dry_run=dry_run,
        exit_code=exit_code,
        maps=tuple(maps or ()),
        mapper=mapper,
        output=output,
        undo=undo_,
        runtimes=tuple(runtime or ()),
        strategy=strategy,
        from_tensors=from_tensors,
        tensors=tensors,
        # What a pull request changes must be what the Hub has now.
        reach=Reach(revision, offline, refresh or create_pr),
        with_weights=with_weights,
        create_pr=create_pr,
        verify=verify,
        forget=forget,
    )
    raise typer.Exit(run_rewrite(checkpoint, flags))
