"""`ckptfix check`."""

import sys

import typer

from ckptfix.cli.options import (
    CheckpointArgument,
    JsonOption,
    MapOption,
    MapperOption,
    RuntimeOption,
    VerboseOption,
)


def check(
    directory: CheckpointArgument,
    maps: MapOption = None,
    mapper: MapperOption = None,
    runtime: RuntimeOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare metadata and tensors; nothing is written.

    With --runtime, also what each release would resolve for each of its modules, against what the
    module is stored as. Exit code 0 if all agree, 1 with findings or a module that a release would
    build otherwise, 2 if the check could not run.

    Example: ckptfix check ./Nemotron-Nano-VL-12B-V2-NVFP4 --runtime vllm==0.17.1
    """
    from ckptfix.cli.judging import asked_targets, judge_all, without_releases
    from ckptfix.cli.loading import load, name_map_for
    from ckptfix.report.check_text import check_lines
    from ckptfix.report.console import show
    from ckptfix.report.json_report import check_json
    from ckptfix.rules.registry import find_all

    targets = asked_targets(runtime or ())
    checkpoint = load(directory)
    name_map = name_map_for(checkpoint, maps, mapper)
    verdicts = judge_all(checkpoint, targets)
    findings = find_all(checkpoint, without_releases(name_map) if verdicts else name_map)
    if json:
        sys.stdout.write(check_json(directory, name_map, findings, verdicts))
    else:
        show(check_lines(directory, findings, verdicts, verbose=verbose), sys.stdout)
    failed = findings or any(verdict.fails for verdict in verdicts)
    raise typer.Exit(1 if failed else 0)
