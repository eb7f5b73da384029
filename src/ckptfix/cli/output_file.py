"""`--output-file`: atomic report files."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

from ckptfix.durable import write_durably
from ckptfix.errors import CkptfixError, reason_of
from ckptfix.report.console import write_plain
from ckptfix.report.layout import Block
from ckptfix.text import visible


def require_writable(path: str) -> Path:
    """The file that the report will replace, checked up front.

    Raises:
        CkptfixError: its directory is missing or not writable, or it is not a regular file.
    """
    try:
        target = Path(path).resolve()
        parent = visible(str(target.parent))
        if not target.parent.exists():
            raise _cannot(path, f"{parent} does not exist; create it first")
        if not target.parent.is_dir():
            raise _cannot(path, f"{parent} is not a directory; choose another path")
        if target.exists() and not target.is_file():
            raise _cannot(path, "not a regular file; choose another path")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise _cannot(path, "its directory cannot be written; choose another one")
    except (OSError, ValueError, RuntimeError) as error:
        raise _cannot(path, f"{reason_of(error)}; choose another path") from error
    return target


def write_report(path: Path, lines: Iterable[Block]) -> None:
    """Write a report without colour, as UTF-8.

    Raises:
        CkptfixError: the file cannot be written.
    """
    text = io.StringIO()
    write_plain(lines, text)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    try:
        write_durably(path, text.getvalue().encode("utf-8", "backslashreplace"), mode)
    except OSError as error:
        raise _cannot(str(path), f"{error.strerror}; choose another path") from error


def _cannot(path: str, why: str) -> CkptfixError:
    return CkptfixError(f"--output-file {visible(path)}: {why}")
