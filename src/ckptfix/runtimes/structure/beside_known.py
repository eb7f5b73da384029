"""Tensors next to others that the class was seen to load, and never together with these."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES, OUTPUT_SCALE, ROLES
from ckptfix.runtimes.learned.parameters import (
    built_by_default,
    modules_of,
    parameters_of,
    tensors_of,
)
from ckptfix.runtimes.learned.table import mask
from ckptfix.runtimes.structure.tree import Tree

_BUFFERS: Final = ("running_mean", "running_var", "num_batches_tracked", "position_ids", "inv_freq")
"""No parameters, so that what a class does with them was not seen."""
_WEIGHTS: Final = ("weight", "weight_packed", "qweight")
"""Roles of weights that are in a module of their own; experts may be parameters of their bank."""
_ANYWHERE: Final = frozenset({"weight", "g_idx", *KV_ROLES, *_BUFFERS})
"""Roles that have other rules."""
OF_QUANTIZERS: Final = frozenset(
    {*(role.name for role in ROLES if not role.of_models), OUTPUT_SCALE}
)


def never_biased(tree: Tree, name: str) -> bool:
    """Whether a module has no bias, as far as the configs tell that the class was built with.

    vLLM and SGLang drop the bias that a layer has no parameter for. A config that asks for biases
    may be one that was not tried.
    """
    values = tree.config.values.items()
    if any(value is True for key, value in values if "bias" in key):
        return False
    known, masked = built_by_default(tree.family.spec.runtime, classes_of(tree)), mask(name)
    return f"{masked}.weight" in known and f"{masked}.bias" not in known


def is_inside_layer(tree: Tree, name: str) -> bool:
    """Whether a module is in one that has a weight, and its class was never seen to have such.

    What an adapter adds to a layer, as `k_proj.lora_A.default`, is, and the layer that it wraps.
    """
    known = tensors_of(tree.family.spec.runtime, classes_of(tree))
    outer = name.rpartition(".")[0]
    for around in (outer, outer.rpartition(".")[0]):
        inside = f"{mask(around)}."
        if f"{inside}weight" in known:
            within = (tensor.removeprefix(inside) for tensor in known if tensor.startswith(inside))
            return not any("." in tensor for tensor in within)
    return False


def weights_of_blocks(tree: Tree) -> Iterator[tuple[str, str]]:
    """The module and the name of each weight of what the class builds as a block of others."""
    runtime, classes = tree.family.spec.runtime, classes_of(tree)
    known, built = tensors_of(runtime, classes), modules_of(runtime, classes)
    for name in tree.places if known else ():
        module = tree.checkpoint.modules[name]
        held = [role for role in _WEIGHTS if role in module.tensors]
        masked = mask(name) if held else ""
        if masked in built and f"{masked}.weight" not in known:
            yield from ((name, module.tensor_names[role]) for role in held)


def instead_of_weight(tree: Tree, module: Module, role: str) -> bool:
    """Whether a module has a tensor of this name where the class was seen to load a weight."""
    known = tensors_of(tree.family.spec.runtime, classes_of(tree))
    masked = mask(module.name)
    return f"{masked}.weight" in known and f"{masked}.{role}" not in known


def never_built(tree: Tree, name: str) -> bool:
    """Whether a class that was learned was never seen to have a module of this name in a layer.

    Towers, and what is outside of layers, were not always learned whole.
    """
    built = modules_of(tree.family.spec.runtime, classes_of(tree))
    if not built or tree.tower or mask(name) in built:
        return False
    place = tree.below.get(name)
    return place is not None and tree.in_layer(place) is not None


def tensors_beside_known(tree: Tree, parts: Sequence[Tree]) -> Iterator[tuple[str, str]]:
    """The module and the name of each, where no layout lists the module."""
    listed = {name for part in parts if part.layout is not None for name in part.below}
    for name in tree.places:
        module = tree.checkpoint.modules[name]
        if name in listed or (module.weight is not None and len(module.tensors) < 2):
            continue
        for role in _next_to_weight(tree, module) if module.weight else _in_block(tree, module):
            yield name, module.tensor_names[role]


def _next_to_weight(tree: Tree, module: Module) -> Iterator[str]:
    masked = mask(module.name)
    known = tensors_of(tree.family.spec.runtime, classes_of(tree))
    if f"{masked}.weight" not in known or tree.checkpoint.formats[module.name].is_quantized:
        return
    for role in module.tensors:
        may_be = role in _ANYWHERE or role in tree.takes or f"{masked}.{role}" in known
        is_odd = role != "bias" or (
            _follows_config(tree, module) and never_biased(tree, module.name)
        )
        if not may_be and is_odd:
            yield role


def _follows_config(tree: Tree, module: Module) -> bool:
    """False in a tower, whose config class may have biases by default, and config.json no key."""
    return not tree.base or module.name in tree.below


def _in_block(tree: Tree, module: Module) -> Iterator[str]:
    """Parameters of a block; for a learned class what was not seen is in doubt anyway."""
    if tree.layout is None:
        return
    classes, runtime = classes_of(tree), tree.family.spec.runtime
    known, inside = tensors_of(runtime, classes), f"{mask(module.name)}."
    if not any(tensor.startswith(inside) for tensor in known):
        return
    elsewhere = {*OF_QUANTIZERS, *_BUFFERS, *tree.takes, *(parameters_of(runtime, classes) or ())}
    for role in module.tensors:
        if role not in elsewhere and f"{inside}{role}" not in known:
            yield role


def classes_of(tree: Tree) -> tuple[str, ...]:
    """The outer model class, and those that it builds inside."""
    return *tree.checkpoint.config.architectures[:1], *tree.family.spec.inner
