"""`ckptfix check`."""

import sys

import typer

from ckptfix.cli.options import (
    CheckpointArgument,
    JsonOption,
    MapOption,
    MapperOption,
    VerboseOption,
)


def check(
    directory: CheckpointArgument,
    maps: MapOption = None,
    mapper: MapperOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare metadata and tensors; nothing is written.

    Exit code 0 if they agree, 1 with findings, 2 if the check could not run.

    Example: ckptfix check ./Nemotron-Nano-VL-12B-V2-NVFP4
    """
    from ckptfix.cli.loading import load, name_map_for
    from ckptfix.report.console import show
    from ckptfix.report.json_report import check_json
    from ckptfix.report.text import check_lines
    from ckptfix.rules.registry import find_all

    checkpoint = load(directory)
    name_map = name_map_for(checkpoint, maps, mapper)
    findings = find_all(checkpoint, name_map)
    if json:
        sys.stdout.write(check_json(directory, name_map, findings))
    else:
        show(check_lines(directory, findings, verbose=verbose), sys.stdout)
    raise typer.Exit(1 if findings else 0)
