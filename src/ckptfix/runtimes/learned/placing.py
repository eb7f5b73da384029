"""Modules of a checkpoint + learned table -> modules of the runtime, by looked-up name."""

from collections.abc import Mapping
from typing import Final

from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.learned.table import Row, Table, fill, mask, numbers_of
from ckptfix.runtimes.runtime_module import RuntimeModule, RuntimeModuleKind, without_config

_KINDS: Final[Mapping[str, RuntimeModuleKind]] = {
    "linear": "linear",
    "experts": "experts",
    "head": "head",
    "embedding": "embedding",
}
_LOOKED_UP: Final = ("linear", "experts", "head")
"""Kinds that are looked up in a quantization config."""


def row_of(module: Module, table: Table) -> Row | None:
    """The row of a module's weight, or of the first of its parameters that has one."""
    row = table.rows.get(mask(module.name))
    if row is not None:
        return row
    rows = (table.rows.get(mask(name)) for name in module.tensor_names.values())
    return next(filter(None, rows), None)


def learned_modules(modules: Mapping[str, Module], table: Table) -> tuple[RuntimeModule, ...]:
    """The runtime's modules, in the order of their first tensor in the checkpoint.

    Modules without a row are left out: `doubts` reports them.
    """
    grouped: dict[tuple[str, str], list[tuple[int, str, Row]]] = {}
    for module in modules.values():
        row = row_of(module, table)
        if row is None:
            continue
        numbers = numbers_of(module.name)
        name = fill(row.place if row.looked_up is None else row.looked_up, numbers)
        apart = "" if name else fill(row.place, numbers)
        grouped.setdefault((name, apart), []).append((row.order, module.name, row))
    return tuple(_join(name, members) for (name, _), members in grouped.items())


def _join(name: str, members: list[tuple[int, str, Row]]) -> RuntimeModule:
    row = members[0][2]
    kind = _KINDS.get(row.kind, "other")
    # The banks of a checkpoint have their own order; members of a packed module have the table's.
    in_order = members if kind == "experts" else sorted(members, key=lambda member: member[0])
    takes = kind in _LOOKED_UP and row.looked_up is not None
    return RuntimeModule(name, tuple(member for _, member, _ in in_order), kind, takes)


def without_dropped(
    placed: tuple[RuntimeModule, ...], table: Table, quant_algo: str
) -> tuple[RuntimeModule, ...]:
    """The same without modules for which a class drops the quantization config by its name.

    Args:
        placed: the runtime's modules.
        table: the table that placed them.
        quant_algo: of the metadata as a whole; empty if there is none.
    """
    places = frozenset(table.record.dropped.get(quant_algo, ()))
    if not places:
        return placed
    return without_config(placed, lambda module: _place(module, table) in places)


def _place(module: RuntimeModule, table: Table) -> str:
    row = table.rows.get(mask(module.members[0]))
    return row.place if row else ""
