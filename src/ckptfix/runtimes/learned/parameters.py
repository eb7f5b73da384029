"""Parameters that classes take next to modules, not in one: `sinks`, `A_log`, `dt_bias`."""

from collections.abc import Iterator, Sequence
from functools import cache

from ckptfix.runtimes.learned.store import learned_releases, release, table
from ckptfix.runtimes.learned.table import Table
from ckptfix.runtimes.registry import known_runtimes


@cache
def parameters_of(runtime: str, architectures: Sequence[str]) -> frozenset[str] | None:
    """Last parts of the names of all that some release was seen to take; None if none was learned.

    Where a runtime's own class could not be learned, the other runtimes' classes are used.

    Args:
        runtime: its name, as `vllm`.
        architectures: the outer model class, then those that it builds inside.
    """
    for which in (runtime, *known_runtimes()):
        tables = list(_tables(which, architectures))
        if tables:
            return frozenset(name for known in tables for name in _parameters(known))
    return None


def _tables(runtime: str, architectures: Sequence[str]) -> Iterator[Table]:
    """Each table once: most releases share one."""
    releases = (release(runtime, version).architectures for version in learned_releases(runtime))
    named = (known[name].table for known in releases for name in architectures if name in known)
    for identifier in dict.fromkeys(named):
        yield Table(table(runtime, identifier))


def _parameters(known: Table) -> Iterator[str]:
    for tensor in known.tensors:
        module, _, name = tensor.rpartition(".")
        if f"{module}.weight" not in known.tensors:
            yield name
