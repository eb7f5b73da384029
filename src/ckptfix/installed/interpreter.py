"""The Python that a user means, and its runtimes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ckptfix.errors import CkptfixError
from ckptfix.text import visible

_SECONDS: Final = 60
_SECRETS: Final = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "API_KEY", "ACCESS_KEY")
_VERSIONS: Final = """
import importlib.metadata, importlib.util, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(name):
            found[name] = ""
print(json.dumps(found))
"""


def environment() -> dict[str, str]:
    """For the started process: our environment without variables that look like secrets."""
    kept = os.environ.items()
    return {k: v for k, v in kept if not any(word in k.upper() for word in _SECRETS)}


def interpreter_at(path: str) -> str:
    """The Python that a user named.

    Args:
        path: an interpreter, or the directory of a virtual environment.

    Raises:
        CkptfixError: there is none.
    """
    named = Path(path).expanduser()
    found = named / "bin" / "python" if named.is_dir() else named
    if not (found.is_file() and os.access(found, os.X_OK)):
        raise CkptfixError(
            f"{visible(path)}: no Python there",
            advice="pass an interpreter, or the directory of a virtual environment",
        )
    return str(found.absolute())


def usual_interpreters() -> Iterator[str]:
    """Where a runtime is likely: next to ckptfix, in the active environment, first on the path."""
    active = os.environ.get("VIRTUAL_ENV")
    named = [sys.executable, *([f"{active}/bin/python"] if active else [])]
    named += [path for path in map(shutil.which, ("python3", "python")) if path]
    yield from dict.fromkeys(path for path in named if os.access(path, os.X_OK))


def runtimes_in(python: str, names: Sequence[str]) -> Mapping[str, str]:
    """Runtime -> its version in an interpreter, empty if unknown.

    Args:
        python: the interpreter.
        names: the runtimes, each by the name of its package.

    Raises:
        CkptfixError: it cannot be run.
    """
    command = [python, "-c", _VERSIONS, *names]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user named
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            cwd="/",
            env=environment(),
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise CkptfixError(
            f"{visible(python)}: cannot list its runtimes: {visible(str(error))}"
        ) from error
    return found
