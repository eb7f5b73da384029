"""The runtimes in the Pythons of this machine."""

from collections.abc import Iterator
from functools import cache

from packaging.version import InvalidVersion

from ckptfix.errors import CkptfixError
from ckptfix.installed.interpreter import interpreter_at, runtimes_in, usual_interpreters
from ckptfix.installed.process import Process
from ckptfix.runtimes.installed.answer import Installed
from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.targets import Target, older_releases
from ckptfix.text import visible


def of_first() -> Iterator[Target]:
    """Every runtime of the first usual Python that has one.

    Raises:
        CkptfixError: none has.
    """
    tried = []
    for python in usual_interpreters():
        tried.append(python)
        found = runtimes_in(python, known_runtimes())
        if found:
            yield from (_target(name, version, python) for name, version in found.items())
            return
    raise CkptfixError(
        f"no runtime is installed in {', '.join(map(visible, tried))}",
        advice="name the Python that has one, for example vllm@/path/to/venv",
    )


def target_in(runtime: str, path: str) -> Target:
    """The runtime in the Python at a path.

    Raises:
        CkptfixError: there is no such Python, or no such runtime in it.
    """
    python = interpreter_at(path)
    found = runtimes_in(python, known_runtimes())
    if runtime not in found:
        raise CkptfixError(f"{visible(python)}: {runtime} is not installed there")
    return _target(runtime, found[runtime], python)


@cache
def _target(runtime: str, version: str, python: str) -> Target:
    """The same object, and so the same process, for the same runtime."""
    known = known_releases(runtime)
    try:
        older = older_releases(version, known) or list(known[:1])
    except InvalidVersion:
        older = list(known)
    process = Process(runtime, python)
    installed = Installed(python, process.ask, process.log)
    return Target(runtime, version or "of unknown version", older[-1], installed)
