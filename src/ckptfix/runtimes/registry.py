"""All runtimes: every folder next to this file with a `runtime.py` is one."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import ckptfix.runtimes
from ckptfix.checkpoint.dialects.statements import MetadataFile
from ckptfix.errors import CkptfixError
from ckptfix.runtimes.interface import Runtime
from ckptfix.text import visible


@cache
def _by_name() -> Mapping[str, Runtime]:
    package = ckptfix.runtimes
    folders = (m.name for m in iter_modules(package.__path__, f"{package.__name__}.") if m.ispkg)
    modules = (f"{folder}.runtime" for folder in folders)
    found: list[Runtime] = [import_module(name).RUNTIME for name in modules if find_spec(name)]
    return {r.name: r for r in sorted(found, key=lambda runtime: (runtime.order, runtime.name))}


def known_runtimes() -> tuple[str, ...]:
    """Names of the runtimes, in the order in which they are listed."""
    return tuple(_by_name())


def runtime_named(name: str) -> Runtime:
    """A runtime.

    Raises:
        CkptfixError: there is none of that name.
    """
    found = _by_name().get(name)
    if found is None:
        raise CkptfixError(
            f"{visible(name)}: unknown runtime", advice=f"known are {', '.join(_by_name())}"
        )
    return found


def read_by_runtimes(metadata: Iterable[MetadataFile]) -> list[MetadataFile]:
    """The metadata of a checkpoint that some runtime reads."""
    read = {file for runtime in _by_name().values() for file in runtime.reads}
    return [each for each in metadata if each.file in read]
