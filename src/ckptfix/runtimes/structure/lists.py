"""Blocks of towers that config.json declares but that are not stored, and the reverse."""

from collections.abc import Iterator

from ckptfix.runtimes.learned.lists import Counted
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def list_reasons(tree: Tree) -> Iterator[Reason]:
    """Too many blocks, missing ones, and blocks without a part that others have.

    Lists of towers that have a layout are left to that.
    """
    values, written = tree.checkpoint.config_values, tree.expected.by_config
    if values is None:
        return
    config_class = tree.expected.config_class
    for known in (tree.expected.lists, written.lists(tree.flat) if written else None):
        if known is None:
            continue
        for counted in known.counted(values, config_class, _names(tree)):
            if not _has_layout(tree, counted):
                yield from _reasons(tree, counted)


def _names(tree: Tree) -> Iterator[str]:
    """Modules, and their biases: quantizers store the rest in several ways.

    Tables of rotary embeddings may be next to any block.
    """
    tables = tree.expected.drops_tables | tree.expected.stops_at_tables
    for name, module in tree.checkpoint.modules.items():
        if name in tables:
            continue
        yield name
        if "bias" in module.tensors:
            yield module.tensor_names["bias"]


def _has_layout(tree: Tree, counted: Counted) -> bool:
    return any(
        tower.layout is not None
        and counted.path == f"{tower.layout.spec.settings}.{tower.layout.spec.count}"
        for tower in tree.towers
    )


def _reasons(tree: Tree, counted: Counted) -> Iterator[Reason]:
    declared, stored = f"{counted.path} is {counted.number:,}", counted.items
    built = counted.number - counted.unread
    extra = next((n for n in sorted(stored) if n >= built), None)
    if extra is not None and not counted.unread:
        which = visible(f"{counted.name}.{extra}")
        yield Reason(f"builds no module for {which}: {declared}", tree.stops)
    missing = next((n for n in range(built) if n not in stored), None)
    if missing is not None:
        which = visible(f"{counted.name}.{missing}")
        yield tree.unwritten(f"{which} is not stored, but {declared}")
    if not counted.same:
        return
    every = {part for parts in stored.values() for part in parts}
    for number, parts in sorted(stored.items()):
        lost = min(every - parts.keys(), default=None) if number < built else None
        if lost is not None:
            place = f"{counted.name}.{number}.{lost}"
            yield tree.uninitialised(place, next(iter(parts.values())))
            return
