"""`ckptfix --version`, without building the command line."""

import sys
from typing import Final

from ckptfix import __version__
from ckptfix.cli.streams import open_streams
from ckptfix.report.console import line, write_plain

VERSION_FLAGS: Final = (("--version",), ("-V",))
"""The arguments that request only the version."""


def print_version() -> int:
    """Print the version of this installation."""
    open_streams()
    write_plain([line(f"ckptfix {__version__}")], sys.stdout)
    return 0
