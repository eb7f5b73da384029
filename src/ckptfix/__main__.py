"""``python -m ckptfix``, and what the console script runs."""

import gc
import sys
from typing import NoReturn

from ckptfix.cli.ending import exit_code, leave
from ckptfix.cli.version import VERSION_FLAGS, print_version


def main() -> None:
    """Run the command line, and exit."""
    if tuple(sys.argv[1:]) in VERSION_FLAGS:  # the rest takes five times as long
        sys.exit(exit_code(print_version))
    from ckptfix.cli.app import main as run  # noqa: PLC0415 - imports Typer

    run()


def script() -> NoReturn:
    """Run the command line in a process of its own."""
    # What a command builds lives to its end: a collector that walks a million names finds nothing,
    # and would do so once more at the end if it were switched on again.
    gc.disable()
    try:
        main()
    except SystemExit as ended:
        leave(int(ended.code or 0))
    leave(0)


if __name__ == "__main__":
    script()
