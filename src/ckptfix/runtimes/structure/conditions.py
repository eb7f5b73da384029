"""Modules and parameters that a class builds only for some values of config.json."""

import json
from collections.abc import Iterator

from ckptfix.runtimes.layout_spec import OnlyIfSpec
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def condition_reasons(tree: Tree) -> Iterator[Reason]:
    """What is stored for a class of other values than config.json has.

    A key that is missing says something only where the config class is known: another may fill it
    in.
    """
    for spec in tree.layout.spec.only_if if tree.layout else ():
        if spec.key not in tree.config.values and tree.expected.config_class is None:
            continue
        value = tree.config.values.get(spec.key)
        if _holds(spec, value):
            continue
        stored = _stored(tree, spec)
        if stored:
            given = "missing" if spec.key not in tree.config.values else visible(json.dumps(value))
            text = f"has no parameter for {visible(stored)}: {spec.key} of config.json is {given}"
            yield Reason(text, tree.stops, tensor=stored)


def _holds(spec: OnlyIfSpec, value: object) -> bool:
    if spec.null:
        return value is None
    return value in spec.values if spec.values else value is not None


def _stored(tree: Tree, spec: OnlyIfSpec) -> str:
    """The first tensor of these names in a layer; empty if there is none."""
    for held in tree.layers.values():
        for place, name in held.items():
            names = tree.checkpoint.modules[name].tensor_names
            if place.rpartition(".")[2] in spec.names:
                return next(iter(names.values()))
            found = next((tensor for role, tensor in names.items() if role in spec.names), "")
            if found:
                return found
    return ""
