"""Modules of layers that a class builds, or does not, for the values of config.json."""

from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.runtimes.by_config_tables import ModulesSpec, SharedSpec
from ckptfix.runtimes.learned.table import mask, numbers_of
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_LAYERS: Final = "num_hidden_layers"


def built_reasons(tree: Tree) -> Iterator[Reason]:
    """What layers lack or have too much, where the class was read."""
    written = tree.expected.by_config
    if tree.checkpoint.config_values is None or written is None:
        return
    flat = tree.flat
    for modules in written.modules(flat):
        counting = _counting(modules, flat)
        yield from _missing(tree, modules, counting)
        yield from _strays(tree, modules, counting)
    for shared in written.shared(flat):
        yield from _shared(shared, flat)


def _counting(spec: ModulesSpec, flat: Mapping[str, Any]) -> Set[int] | None:
    """Numbers of the layers that count; None for all."""
    if spec.before or spec.from_:
        return _in_range(spec, flat)
    path, _, kind = spec.layers.partition("=")
    kinds, last = flat.get(path), flat.get(spec.not_last)
    if not isinstance(kinds, list):
        return frozenset() if path else None
    counting = kinds[: len(kinds) - last] if isinstance(last, int) else kinds
    return frozenset(n for n, found in enumerate(counting) if kind in (found, ""))


def _in_range(spec: ModulesSpec, flat: Mapping[str, Any]) -> Set[int]:
    every = flat.get(_LAYERS)
    first, end = flat.get(spec.from_, 0), flat.get(spec.before, every)
    is_known = type(every) is int and type(first) is int and type(end) is int
    return frozenset(range(max(first, 0), min(end, every))) if is_known else frozenset()


def _missing(tree: Tree, spec: ModulesSpec, counting: Set[int] | None) -> Iterator[Reason]:
    modules = tree.checkpoint.modules
    for needed in spec.needs:
        start, _, _ = needed.partition("#")
        layers = {
            int(numbers_of(name)[0]): name for name in modules if mask(name).startswith(f"{start}#")
        }
        for number, neighbour in sorted(layers.items()):
            name = needed.replace("#", str(number))
            if not _is_stored(tree, name) and (counting is None or number in counting):
                yield tree.uninitialised(name, neighbour)
                break


def _is_stored(tree: Tree, name: str) -> bool:
    """Whether there is a module of that name, or a parameter of a block."""
    block, _, parameter = name.rpartition(".")
    holder = tree.checkpoint.modules.get(block)
    has_parameter = holder is not None and parameter in holder.tensors
    return has_parameter or name in tree.checkpoint.modules


def _strays(tree: Tree, spec: ModulesSpec, counting: Set[int] | None) -> Iterator[Reason]:
    for name, module in tree.checkpoint.modules.items() if spec.lacks else ():
        only_cache = module.tensors.keys() <= set(KV_ROLES)  # which attention has
        is_odd = mask(name) in spec.lacks and not only_cache
        odd = name if is_odd else _stray_parameter(spec, module)
        if odd and (counting is None or int(numbers_of(name)[0]) in counting):
            text = f"builds no module for {visible(odd)}: {_because(spec, tree.flat)}"
            yield Reason(text, tree.stops, tensor=odd)
            return


def _stray_parameter(spec: ModulesSpec, module: Module) -> str:
    """Name of a tensor that the block lacks; empty if it has none such."""
    start = mask(module.name)
    found = (t for role, t in module.tensor_names.items() if f"{start}.{role}" in spec.lacks)
    return next(found, "")


def _because(spec: ModulesSpec, flat: Mapping[str, Any]) -> str:
    return ", ".join(f"{path} of config.json {what}" for path, what in spec.met(flat))


def _shared(spec: SharedSpec, flat: Mapping[str, Any]) -> Iterator[Reason]:
    """The first layer that is to use what no earlier one has."""
    kinds, number = flat.get(spec.kinds), flat.get(spec.number)
    if not isinstance(kinds, list) or not isinstance(number, int):
        return
    own = kinds[: max(0, len(kinds) - number)]
    alone = next((at for at in range(len(own), len(kinds)) if kinds[at] not in own), None)
    if alone is not None:
        kind = visible(str(kinds[alone]))
        text = f"layer {alone:,} is a {kind}, and shares the keys of an earlier one"
        yield Reason.stop(f"{text}, but {spec.number} is {number:,}: there is none")
