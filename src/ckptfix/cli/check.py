"""`ckptfix check`."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ckptfix.cli.completion import rule_codes
from ckptfix.cli.options import (
    MapOption,
    MapperOption,
    OfflineOption,
    RefreshOption,
    RevisionOption,
    RuntimeOption,
    VerboseOption,
)
from ckptfix.report.formats import FORMATS

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[*FORMATS]

CheckpointsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CHECKPOINT...",
        help="Directories, Hugging Face Hub repositories (org/name, org/name@revision, "
        "hf://..., https://huggingface.co/...), or fsspec URLs (s3://..., gs://...).",
        show_default=False,
    ),
]
FromFileOption = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        metavar="FILE",
        help="Check the checkpoints listed in FILE, one per line (- for stdin). Prints a table "
        "instead of full reports unless --verbose is given; --json then means --format jsonl.",
        show_default=False,
    ),
]
JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        max=64,
        help="Number of checkpoints to check concurrently, local ones in as many processes.",
    ),
]
FormatOption = Annotated[
    FormatName | None,
    typer.Option(
        "--format",
        help=f"Output format. {'; '.join(f'{name}: {what}' for name, what in FORMATS.items())}.",
        show_default="text",
    ),
]
JsonFormatOption = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
OutputFileOption = Annotated[
    str | None,
    typer.Option(
        "--output-file",
        metavar="FILE",
        help="Write the report to FILE (atomically) instead of stdout.",
        show_default=False,
    ),
]
FailOnOption = Annotated[
    Literal["warning", "error"] | None,
    typer.Option(
        "--fail-on",
        help="Lowest severity that makes the command exit with 1.",
        show_default="warning",
    ),
]
SelectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="CODES",
        autocompletion=rule_codes,
        help="Report only these rules: a code or prefix (CKF201, CKF2), comma-separated; "
        "repeatable.",
        show_default=False,
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="CODES",
        autocompletion=rule_codes,
        help="Do not report these rules; if a code matches both --select and --ignore, the "
        "longer prefix wins.",
        show_default=False,
    ),
]
AllowUnknownOption = Annotated[
    bool,
    typer.Option(
        "--allow-unknown",
        help="Do not exit with 1 only because it is not known whether a release loads a "
        "checkpoint.",
    ),
]
SkipUnsupportedOption = Annotated[
    bool,
    typer.Option(
        "--skip-unsupported",
        help="Skip and count everything that is not a quantized safetensors checkpoint (LoRA "
        "adapters, GGUF, pickles, diffusers pipelines, unquantized models) instead of exiting "
        "with 2.",
    ),
]
OnlineOption = Annotated[
    str | None,
    typer.Option(
        "--online",
        metavar="METHOD",
        help="Instead of checking metadata, show what --quantization METHOD (for example fp8) does "
        "to an unquantized checkpoint while loading it. Takes --runtime and --json.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Use this configuration file instead of searching for ckptfix.toml or pyproject.toml.",
        show_default=False,
    ),
]
NoConfigOption = Annotated[
    bool, typer.Option("--no-config", help="Ignore all configuration files.")
]


ExitZeroOption = Annotated[
    bool,
    typer.Option(
        "--exit-zero", help="Exit with 0 instead of 1; a failed check still exits with 2."
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print only one line for each checkpoint that does not pass."
    ),
]
StatisticsOption = Annotated[
    bool,
    typer.Option("--statistics", help="Print only the number of findings of each rule."),
]


def check(
    checkpoints: CheckpointsArgument = None,
    maps: MapOption = None,
    mapper: MapperOption = None,
    runtime: RuntimeOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    fail_on: FailOnOption = None,
    allow_unknown: AllowUnknownOption = False,
    skip_unsupported: SkipUnsupportedOption = False,
    format_: FormatOption = None,
    json: JsonFormatOption = False,
    output_file: OutputFileOption = None,
    config: ConfigOption = None,
    no_config: NoConfigOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    statistics: StatisticsOption = False,
    exit_zero: ExitZeroOption = False,
    from_file: FromFileOption = None,
    jobs: JobsOption = 4,
    online: OnlineOption = None,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> None:
    """Check whether a checkpoint loads, and compare its metadata with its tensors; writes nothing.

    The exit code depends on the releases given with --runtime, otherwise on the newest known
    release of each runtime that registers the architecture: 0 if all of them load every checkpoint
    and no finding reaches --fail-on; 1 if a release does not load one, if that is unknown, or if a
    finding reaches --fail-on; 2 if a checkpoint could not be checked (the others are still
    checked).

    Example: ckptfix check ./Nemotron-Nano-VL-12B-V2-NVFP4 --runtime vllm==0.17.1
    """
    from pathlib import Path

    from ckptfix.cli.check_output import chosen_output
    from ckptfix.cli.check_settings import (
        CheckFlags,
        all_names,
        allows_unknown,
        fail_level,
        request_of,
    )
    from ckptfix.cli.configuration import configuration
    from ckptfix.cli.listening import listening
    from ckptfix.cli.output_file import require_writable, write_report
    from ckptfix.operations.check_many import check_each, in_order
    from ckptfix.remote.folders import every_checkpoint
    from ckptfix.remote.opening import NetworkPolicy
    from ckptfix.report.check_report import CheckReport
    from ckptfix.report.console import line, show, write_plain
    from ckptfix.report.spelling import spelled_check

    chosen, render = chosen_output(
        format_,
        json=json,
        from_file=from_file is not None,
        verbose=verbose,
        quiet=quiet,
        statistics=statistics,
    )
    names = all_names(checkpoints or (), from_file)
    if online is not None:
        from ckptfix.cli.online import check_online

        raise typer.Exit(
            check_online(
                names,
                online,
                runtimes=runtime or (),
                as_json=json or format_ == "json",
                revision=revision,
                offline=offline,
                refresh=refresh,
            )
        )
    flags = CheckFlags(
        tuple(maps or ()), mapper, runtime, select, ignore, fail_on, allow_unknown=allow_unknown
    )
    found = configuration(config, none=no_config)
    request = request_of(
        flags,
        found,
        shows=chosen if chosen != "text" or from_file is None or verbose else "table",
        every=verbose,
        lines=verbose or chosen != "text",
        policy=NetworkPolicy(revision, offline, refresh),
        jobs=jobs,
    )
    target = require_writable(output_file) if output_file is not None else None
    report_on = partial(
        CheckReport,
        fail_on=fail_level(flags, found),
        base=Path.cwd(),
        brief=from_file is not None,
        allow_unknown=allows_unknown(flags, found),
    )
    checked, skipped = [], []
    names = every_checkpoint(names)
    with listening() as listener:
        for one in map(spelled_check, check_each(names, request, listener)):
            if skip_unsupported and one.unsupported:
                show([line(f"skipped: {one.error}")], sys.stderr)
                if chosen == "jsonl" and target is None:
                    write_plain(render(report_on((), skipped=(one,)), verbose), sys.stdout)
                skipped.append(one)
                continue
            if one.error:
                show([line(f"error: {one.error}")], sys.stderr)
            if chosen == "jsonl" and target is None:
                write_plain(render(report_on((one,)), verbose), sys.stdout)
            checked.append(one)
    report = report_on(in_order(names, checked, request), skipped=tuple(skipped))
    if target is not None:
        write_report(target, render(report, verbose))
    elif chosen != "jsonl":
        (show if chosen == "text" else write_plain)(render(report, verbose), sys.stdout)
    raise typer.Exit(0 if exit_zero and report.exit_code == 1 else report.exit_code)
