"""Tensors -> modules: `a.b.weight`, `a.b.weight_scale`, ... belong to module `a.b`.

A shard boundary may fall between a weight and its scales, so companions are joined over the
whole checkpoint, never per shard file.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.roles import FUSED_SUFFIXES, SPELLINGS, WEIGHTS
from ckptfix.checkpoint.safetensors import Tensor

_FUSED_ENDS: Final = tuple(FUSED_SUFFIXES)
_BY_LAST_PART: Final[Mapping[str, list[str]]] = {
    last: sorted((s for s in SPELLINGS if s.rpartition(".")[2] == last), key=len, reverse=True)
    for last in {s.rpartition(".")[2] for s in SPELLINGS}
}
"""Last dotted part of a spelling -> the spellings that end in it, longest first."""


class Module(Struct, frozen=True):
    """A module and its tensors by role."""

    name: str
    tensors: Mapping[str, Tensor]
    """Role (`weight`, `weight_scale`, `bias`, ...) -> tensor. Modules of one checkpoint that hold
    equal tensors share this object, so what follows from it is looked at once for all of them."""
    tensor_names: Mapping[str, str]
    """Role -> full tensor name."""

    @property
    def weight(self) -> Tensor | None:
        """The weight or its codes, if the module has one."""
        for role in WEIGHTS:  # a generator takes twice as long, and this is called most often
            if role in self.tensors:
                return self.tensors[role]
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def _split(name: str) -> tuple[str, str]:
    module, _, role = name.rpartition(".")
    # Almost no name ends as a spelling does: there may be a million of them.
    for spelling in _BY_LAST_PART.get(role, ()):
        if name.endswith("." + spelling):
            return name[: -len(spelling) - 1], SPELLINGS[spelling]
    return module, role


def _fused_parameter(module: str, role: str) -> tuple[str, str] | None:
    """`experts`, `gate_up_proj_weight_scale` -> `experts.gate_up_proj`, `weight_scale`."""
    if not role.endswith(_FUSED_ENDS):
        return None
    for suffix, companion in FUSED_SUFFIXES.items():
        if role.endswith(suffix) and len(role) > len(suffix):
            base = role[: -len(suffix)]
            return f"{module}.{base}" if module else base, companion
    return None


def group_modules(tensors: Mapping[str, Tensor]) -> dict[str, Module]:
    """All modules of a checkpoint, in the order of their first tensor."""
    shared: dict[tuple[object, ...], dict[str, Tensor]] = {}
    modules: dict[str, Module] = {}
    for module, roles in _names_by_role(tensors).items():
        if roles:
            stored = list(map(tensors.__getitem__, roles.values()))
            alike = *roles, *map(id, stored)  # equal tensors are one object
            if alike not in shared:
                shared[alike] = dict(zip(roles, stored, strict=True))
            modules[module] = Module(module, shared[alike], roles)
    return modules


def _names_by_role(tensors: Iterable[str]) -> dict[str, dict[str, str]]:
    """Module -> role -> full tensor name."""
    grouped: dict[str, dict[str, str]] = {}
    fused: set[str] = set()
    plain: dict[str, str] = {}
    """Last parts of names that are roles as they stand, as one string each."""
    last, roles = None, {}
    for name in tensors:
        module, _, role = name.rpartition(".")
        if role in plain:
            role = plain[role]
        elif role not in _BY_LAST_PART and not role.endswith(_FUSED_ENDS):
            plain[role] = role
        else:
            module, role = _split(name)
            parameter = _fused_parameter(module, role)
            if parameter is not None:
                module, role = parameter
                fused.add(module)
        if module != last:  # most writers put the tensors of a module next to each other
            last, roles = module, grouped.setdefault(module, {})
        roles[role] = name
    for parameter_name in fused:
        parent, _, role = parameter_name.rpartition(".")
        weight = grouped.get(parent, {}).pop(role, None)
        if weight is not None:
            grouped[parameter_name]["weight"] = weight
    return grouped
