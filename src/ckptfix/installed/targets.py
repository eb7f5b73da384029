"""`installed` and `vllm@PYTHON`, beside the releases that are recorded."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from packaging.version import InvalidVersion

from ckptfix.errors import CkptfixError
from ckptfix.installed.interpreter import interpreter_at, runtimes_in, usual_interpreters
from ckptfix.installed.process import Process
from ckptfix.runtimes.installed.answer import Installed
from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.releases import asked_targets
from ckptfix.runtimes.targets import Target, older_releases
from ckptfix.text import visible

INSTALLED: Final = "installed"
_AT: Final = "@"


def targets_of(specs: Sequence[str]) -> tuple[Target, ...]:
    """Every release that the specifiers select, each once, in the order given.

    `installed` is every runtime of the first Python that has one: that of ckptfix, of the active
    virtual environment, or the first on the path. `vllm@PYTHON` is the one that this Python has.

    Raises:
        CkptfixError: as `asked_targets`; there is no such Python, or no runtime in it.
    """
    targets = [target for spec in specs for target in _targets_of(spec)]
    return tuple(dict.fromkeys(targets))


def _targets_of(spec: str) -> Iterator[Target]:
    name, at, path = spec.strip().partition(_AT)
    if name.lower() == INSTALLED and not at:
        yield from _of_first(usual_interpreters())
    elif at and name.lower() in known_runtimes():
        python = interpreter_at(path)
        found = runtimes_in(python, known_runtimes())
        if name.lower() not in found:
            raise CkptfixError(f"{visible(python)}: {name.lower()} is not installed there")
        yield _target(name.lower(), found[name.lower()], python)
    else:
        yield from asked_targets([spec])


def _of_first(pythons: Iterator[str]) -> Iterator[Target]:
    asked = []
    for python in pythons:
        asked.append(python)
        found = runtimes_in(python, known_runtimes())
        if found:
            yield from (_target(name, version, python) for name, version in found.items())
            return
    raise CkptfixError(
        f"no runtime is installed in {', '.join(map(visible, asked))}",
        advice="name the Python that has one, for example vllm@/path/to/venv",
    )


@cache
def _target(runtime: str, version: str, python: str) -> Target:
    """The same object for the same runtime, and so one process."""
    known = known_releases(runtime)
    try:
        older = older_releases(version, known) or list(known[:1])
    except InvalidVersion:
        older = list(known)
    process = Process(runtime, python)
    installed = Installed(python, process.ask, process.log)
    return Target(runtime, version or "of unknown version", older[-1], installed)
