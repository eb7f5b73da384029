"""The fewest exclude patterns that cover some modules and spare others."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence


def cover(wanted: Sequence[str], spared: Iterable[str]) -> tuple[str, ...]:
    """Patterns as ModelOpt writes them: `name` for a module, `name*` for all below a container.

    A container is covered as a whole, as high up as it contains no spared module. If `name*`
    would also match a spared sibling (`layers.1` and `layers.10`), the pattern is `name.*`. With
    nothing to spare it is `*`.

    >>> cover(["visual.a", "visual.b", "lm_head", "model.gate"], ["model.up"])
    ('visual*', 'lm_head', 'model.gate')
    """
    kept = sorted(spared)
    if not kept:
        return ("*",) if wanted else ()
    return tuple(dict.fromkeys(_pattern(name, kept) for name in wanted))


def _pattern(name: str, spared: Sequence[str]) -> str:
    parts = name.split(".")
    for depth in range(1, len(parts)):
        container = ".".join(parts[:depth])
        if _any_starts(spared, container + ".") or _holds(spared, container):
            continue
        return f"{container}.*" if _any_starts(spared, container) else f"{container}*"
    return name


def _any_starts(names: Sequence[str], head: str) -> bool:
    at = bisect_left(names, head)
    return at < len(names) and names[at].startswith(head)


def _holds(names: Sequence[str], name: str) -> bool:
    at = bisect_left(names, name)
    return at < len(names) and names[at] == name
