"""`ckptfix check`."""

import sys
from functools import partial
from typing import Annotated, Literal

import typer

from ckptfix.cli.options import (
    MapOption,
    MapperOption,
    OfflineOption,
    RefreshOption,
    RevisionOption,
    RuntimeOption,
    VerboseOption,
)

CheckpointsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CHECKPOINT...",
        help="Directories, repositories of the Hub (org/name, org/name@revision, hf://..., "
        "https://huggingface.co/...), or any fsspec URLs (s3://..., gs://...).",
        show_default=False,
    ),
]
FromFileOption = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        metavar="FILE",
        help="Check those that FILE names, one a line, - for stdin; a table of verdicts instead of "
        "reports unless --verbose, and --json means --format jsonl.",
        show_default=False,
    ),
]
JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs", metavar="N", min=1, max=64, help="Repositories or URLs checked at a time."
    ),
]
FormatOption = Annotated[
    Literal["text", "json", "jsonl", "sarif", "github", "junit"] | None,
    typer.Option(
        "--format",
        help="How to report; text is for people, github for the log of a workflow, jsonl writes "
        "one line for each checkpoint as it is done.",
        show_default="text",
    ),
]
JsonFormatOption = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
OutputFileOption = Annotated[
    str | None,
    typer.Option(
        "--output-file",
        metavar="FILE",
        help="Write the report here, whole or not at all, and nothing to stdout.",
        show_default=False,
    ),
]
FailOnOption = Annotated[
    Literal["warning", "error"] | None,
    typer.Option(
        "--fail-on",
        help="The mildest finding that makes the exit code 1.",
        show_default="warning",
    ),
]
SelectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="CODES",
        help="Report these rules only: CKF201, CKF2, or several apart by commas; repeatable.",
        show_default=False,
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="CODES",
        help="Report all but these rules; of a code in both, the longer spelling decides.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Take defaults from this file, not from the nearest ckptfix.toml or pyproject.toml.",
        show_default=False,
    ),
]
NoConfigOption = Annotated[bool, typer.Option("--no-config", help="Read no configuration file.")]


def check(
    checkpoints: CheckpointsArgument = None,
    maps: MapOption = None,
    mapper: MapperOption = None,
    runtime: RuntimeOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    fail_on: FailOnOption = None,
    format_: FormatOption = None,
    json: JsonFormatOption = False,
    output_file: OutputFileOption = None,
    config: ConfigOption = None,
    no_config: NoConfigOption = False,
    verbose: VerboseOption = False,
    from_file: FromFileOption = None,
    jobs: JobsOption = 4,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Compare metadata and tensors; nothing is written.

    With --runtime, also what each release would resolve for each of its modules, against what the
    module is stored as. Exit code 0 if all agree, 1 with findings or a module that a release would
    build otherwise, 2 if a checkpoint could not be checked; the others are checked all the same.

    Example: ckptfix check ./Nemotron-Nano-VL-12B-V2-NVFP4 --runtime vllm==0.17.1
    """
    from pathlib import Path

    from ckptfix.cli.check_settings import CheckFlags, fail_level, names_from, request_of
    from ckptfix.cli.configuration import configuration
    from ckptfix.cli.listening import listening
    from ckptfix.cli.output_file import require_writable, write_report
    from ckptfix.errors import CkptfixError
    from ckptfix.operations.check import check_each, in_order
    from ckptfix.remote.opening import Reach
    from ckptfix.report.check_report import CheckReport
    from ckptfix.report.console import line, show, write_plain
    from ckptfix.report.formats import renderer

    if json and format_ not in (None, "json"):
        raise CkptfixError(f"--json and --format {format_} contradict each other")
    names = [*(checkpoints or ()), *(names_from(from_file) if from_file is not None else ())]
    if not names:
        raise CkptfixError("no checkpoint is named", advice="name one, or give --from-file FILE")
    flags = CheckFlags(tuple(maps or ()), mapper, runtime, select, ignore, fail_on)
    chosen = format_ or ("text" if not json else "jsonl" if from_file is not None else "json")
    found = configuration(config, none=no_config)
    request = request_of(
        flags,
        found,
        ask_all=chosen == "text",
        reach=Reach(revision, offline, refresh),
        jobs=jobs,
    )
    target = require_writable(output_file) if output_file is not None else None
    render = renderer(chosen)
    report_on = partial(
        CheckReport,
        fail_on=fail_level(flags, found),
        base=Path.cwd(),
        brief=from_file is not None,
    )
    checked = []
    with listening() as listener:
        for one in check_each(names, request, listener):
            if one.error:
                show([line(f"error: {one.error}")], sys.stderr)
            if chosen == "jsonl" and target is None:
                write_plain(render(report_on((one,)), verbose), sys.stdout)
            checked.append(one)
    report = report_on(in_order(names, checked, request))
    if target is not None:
        write_report(target, render(report, verbose))
    elif chosen != "jsonl":
        (show if chosen == "text" else write_plain)(render(report, verbose), sys.stdout)
    raise typer.Exit(report.exit_code)
