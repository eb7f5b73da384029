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


@cache
def tensors_of(runtime: str, architectures: Sequence[str]) -> frozenset[str]:
    """The names, masked, of all that some release was seen to take; empty if none was learned."""
    return frozenset(name for known in _tables(runtime, architectures) for name in known.tensors)


@cache
def modules_of(runtime: str, architectures: Sequence[str]) -> frozenset[str]:
    """The modules, masked, of those tensors, and all that contain them."""
    found: set[str] = set()
    for tensor in tensors_of(runtime, architectures):
        module = tensor.rpartition(".")[0]
        while module and module not in found:
            found.add(module)
            module = module.rpartition(".")[0]
    return frozenset(found)


@cache
def built_by_default(runtime: str, architectures: Sequence[str]) -> frozenset[str]:
    """Those that it takes with the config that it was learned with, as it is."""
    tables = _tables(runtime, architectures)
    return frozenset(name for known in tables for name in known.by_default)


def _tables(runtime: str, architectures: Sequence[str]) -> Iterator[Table]:
    """Each table once: most releases share one."""
    releases = (release(runtime, version).architectures for version in learned_releases(runtime))
    named = (known[name].table for known in releases for name in architectures if name in known)
    for identifier in dict.fromkeys(named):
        yield Table(table(runtime, identifier))


def _parameters(known: Table) -> Iterator[str]:
    for tensor in known.tensors:
        module, _, name = tensor.rpartition(".")
        if f"{module}.weight" not in known.tensors and not _is_of_layer(known, module, name):
            yield name


def _is_of_layer(known: Table, module: str, name: str) -> bool:
    """True for the bias of a layer, which has its weight under another name: nothing is below."""
    below = f"{module}."
    return name == "bias" and not any(
        tensor.startswith(below) and tensor != f"{below}{name}" for tensor in known.tensors
    )
