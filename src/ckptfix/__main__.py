"""``python -m ckptfix``, and what the console script runs."""

import gc
import sys
from typing import NoReturn

from ckptfix.cli.ending import end_at_once, exit_code, leave, raise_again
from ckptfix.cli.version import VERSION_FLAGS, print_version


def main() -> None:
    """Run the command line, and exit."""
    if tuple(sys.argv[1:]) in VERSION_FLAGS:  # the rest takes five times as long
        sys.exit(exit_code(print_version))
    from ckptfix.cli.app import main as run  # noqa: PLC0415 - imports Typer

    raise_again()
    run()


def script() -> NoReturn:
    """Run the command line as its own process."""
    # What a command builds is needed until it ends: a garbage collector that walks a million names
    # frees nothing, and would run once more at the end if it were enabled again.
    gc.disable()
    end_at_once()
    try:
        main()
    except SystemExit as ended:
        leave(int(ended.code or 0))
    leave(0)


if __name__ == "__main__":
    script()
