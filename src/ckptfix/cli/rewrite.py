"""`ckptfix rewrite`."""

from typing import Annotated, Literal

import typer

from ckptfix.cli.options import (
    MapOption,
    MapperOption,
    OfflineOption,
    RefreshOption,
    RevisionOption,
    RuntimeOption,
)

CheckpointsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="CHECKPOINT...",
        help="Directories, Hugging Face Hub repositories (org/name, org/name@revision, "
        "hf://..., https://huggingface.co/...), or fsspec URLs (s3://..., gs://...).",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON report of the changes made or planned.")
]
StrategyOption = Annotated[
    Literal["auto", "rename", "alias"],
    typer.Option(
        "--strategy",
        help=(
            "rename: apply the name map; alias: keep every name and add those that a release "
            "looks up; auto: rename where that helps, then add aliases."
        ),
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", "-n", help="Write nothing; print a diff that git apply accepts."),
]
OverridesOption = Annotated[
    bool,
    typer.Option(
        "--overrides",
        help="Write nothing; print the commands that serve the checkpoint as it is, with the "
        "repaired metadata passed to the server.",
    ),
]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="With --dry-run: exit with 1 if something would change.")
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Write a repaired copy to DIR and leave the checkpoint untouched. Weights are "
        "hard-linked; weights of a Hub repository are only fetched with --with-weights.",
        show_default=False,
    ),
]
FromTensorsOption = Annotated[
    bool,
    typer.Option(
        "--from-tensors",
        help="First rebuild the metadata from the tensors: missing or wrong entries, "
        "algorithms, group sizes and exclude patterns, or all of it.",
    ),
]
TensorsOption = Annotated[
    bool,
    typer.Option(
        "--tensors",
        help="First rename tensors in the headers of the shard files: those that --map or "
        "--mapper match, otherwise tensor names that no runtime can load. Tensor data is not "
        "moved.",
    ),
]
WithWeightsOption = Annotated[
    bool, typer.Option("--with-weights", help="With --output: download the weights too.")
]
CreatePrOption = Annotated[
    bool,
    typer.Option(
        "--create-pr",
        help="Open a pull request with the changed files on the Hub; with --dry-run, show its "
        "diff, title and body.",
    ),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Run ckptfix verify on the result, for the releases given with --runtime; needs "
        "torch.",
    ),
]
UndoOption = Annotated[
    bool, typer.Option("--undo", help="Restore the files to their state before the first rewrite.")
]
ForgetOption = Annotated[
    bool,
    typer.Option("--forget", help="Delete the backup in .ckptfix that --undo needs."),
]


def rewrite(
    checkpoints: CheckpointsArgument,
    dry_run: DryRunOption = False,
    exit_code: ExitCodeOption = False,
    overrides: OverridesOption = False,
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
    json: JsonOption = False,
    with_weights: WithWeightsOption = False,
    create_pr: CreatePrOption = False,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Rename modules in the metadata so that the runtime finds them (or tensors, with --tensors).

    Names are chosen for the releases given with --runtime, by default for every known release that
    supports the architecture, newest first; with --map or --mapper alone, exactly as those rules
    define. Before anything is written, the result is checked against the tensors and what each
    release would resolve. Each of several checkpoints is rewritten separately. Exit code 0 if the
    rewrite was done or there was nothing to do, 1 if it was refused because it would do harm, if
    no rule of --map or --mapper matches a name, if --verify fails, or if with --overrides a release
    does not load it, 2 if it could not run; the worst of all checkpoints.

    Example: ckptfix rewrite ./Nemotron-Nano-VL-12B-V2-NVFP4 --dry-run
    """
    from ckptfix.cli.rewrite_flags import RewriteFlags
    from ckptfix.cli.rewriting import run_rewrite
    from ckptfix.remote.opening import NetworkPolicy

    flags = RewriteFlags(
        dry_run=dry_run,
        exit_code=exit_code,
        overrides=overrides,
        maps=tuple(maps or ()),
        mapper=mapper,
        output=output,
        undo=undo_,
        runtimes=tuple(runtime or ()),
        strategy=strategy,
        from_tensors=from_tensors,
        tensors=tensors,
        # A pull request must change the files that the Hub has now.
        policy=NetworkPolicy(revision, offline, refresh or create_pr),
        with_weights=with_weights,
        create_pr=create_pr,
        verify=verify,
        forget=forget,
        json=json,
    )
    raise typer.Exit(run_rewrite(checkpoints, flags))
