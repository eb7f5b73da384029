"""`ckptfix check`."""

import sys
from typing import Annotated, Literal

import typer

from ckptfix.cli.options import MapOption, MapperOption, RuntimeOption, VerboseOption

DirectoriesArgument = Annotated[
    list[str],
    typer.Argument(metavar="DIR...", help="Checkpoint directories.", show_default=False),
]
FormatOption = Annotated[
    Literal["text", "json", "sarif", "github", "junit"] | None,
    typer.Option(
        "--format",
        help="How to report; text is for people, github for the log of a workflow.",
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
    directories: DirectoriesArgument,
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
) -> None:
    """Compare metadata and tensors; nothing is written.

    With --runtime, also what each release would resolve for each of its modules, against what the
    module is stored as. Exit code 0 if all agree, 1 with findings or a module that a release would
    build otherwise, 2 if a checkpoint could not be checked; the others are checked all the same.

    Example: ckptfix check ./Nemotron-Nano-VL-12B-V2-NVFP4 --runtime vllm==0.17.1
    """
    from ckptfix.cli.checking import CheckFlags, check_all, options_of
    from ckptfix.cli.configuration import configuration
    from ckptfix.cli.output_file import require_writable, write_report
    from ckptfix.errors import CkptfixError
    from ckptfix.report.console import show, write_plain
    from ckptfix.report.formats import renderer

    if json and format_ not in (None, "json"):
        raise CkptfixError(f"--json and --format {format_} contradict each other")
    flags = CheckFlags(tuple(maps or ()), mapper, runtime, select, ignore, fail_on)
    chosen = "json" if json else format_ or "text"
    found = configuration(config, none=no_config)
    options = options_of(flags, found, for_people=chosen == "text")
    target = require_writable(output_file) if output_file is not None else None
    report = check_all(directories, options)
    lines = renderer(chosen)(report, verbose)
    if target is not None:
        write_report(target, lines)
    else:
        (show if chosen == "text" else write_plain)(lines, sys.stdout)
    raise typer.Exit(report.exit_code)
