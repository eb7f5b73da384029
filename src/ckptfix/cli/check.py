"""`ckptfix check`."""

import sys
from typing import Annotated

import typer

from ckptfix.cli.options import JsonOption, MapOption, MapperOption, RuntimeOption, VerboseOption

DirectoriesArgument = Annotated[
    list[str],
    typer.Argument(metavar="DIR...", help="Checkpoint directories.", show_default=False),
]


def check(
    directories: DirectoriesArgument,
    maps: MapOption = None,
    mapper: MapperOption = None,
    runtime: RuntimeOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare metadata and tensors; nothing is written.

    With --runtime, also what each release would resolve for each of its modules, against what the
    module is stored as. Exit code 0 if all agree, 1 with findings or a module that a release would
    build otherwise, 2 if a checkpoint could not be checked; the others are checked all the same.

    Example: ckptfix check ./Nemotron-Nano-VL-12B-V2-NVFP4 --runtime vllm==0.17.1
    """
    from ckptfix.cli.checking import CheckOptions, check_all
    from ckptfix.report.console import show
    from ckptfix.report.formats import FORMATS
    from ckptfix.rules.finding import Severity
    from ckptfix.rules.selection import Selection

    options = CheckOptions(
        tuple(maps or ()), mapper, tuple(runtime or ()), Selection(), Severity.WARNING
    )
    report = check_all(directories, options)
    show(FORMATS["json" if json else "text"](report, verbose), sys.stdout)
    raise typer.Exit(report.exit_code)
