"""`installed` and `vllm@PYTHON`, in addition to the recorded releases."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.releases import requested_targets
from ckptfix.runtimes.targets import Target

INSTALLED: Final = "installed"
_AT: Final = "@"


def targets_of(specs: Sequence[str]) -> tuple[Target, ...]:
    """Every release that the specifiers select, each once, in the order given.

    `installed` is every runtime of the first Python that has one: that of ckptfix, of the active
    virtual environment, or the first on the path. `vllm@PYTHON` is the one in that Python.

    Raises:
        CkptfixError: as `requested_targets`; there is no such Python, or no runtime in it.
    """
    targets = [target for spec in specs for target in _targets_of(spec)]
    return tuple(dict.fromkeys(targets))


def _targets_of(spec: str) -> Iterator[Target]:
    name, at, path = spec.strip().partition(_AT)
    is_any = name.lower() == INSTALLED and not at
    if not is_any and not (at and name.lower() in known_runtimes()):
        yield from requested_targets([spec])
        return
    # Subprocesses and their limits are for these two alone.
    from ckptfix.installed.found import of_first, target_in  # noqa: PLC0415

    yield from of_first() if is_any else [target_in(name.lower(), path)]
