"""`ckptfix demo`."""

from typing import Annotated

import typer


def demo(
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR]",
            help="Where to make the checkpoint, a new directory; default a temporary one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a small Nano VL checkpoint with the very bug, and repair it.

    Example: ckptfix demo
    """
    from ckptfix.cli.demonstrating import run_demo

    run_demo(directory)
