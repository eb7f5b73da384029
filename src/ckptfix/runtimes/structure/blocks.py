"""The blocks that the layers of a checkpoint consist of; layers of one kind are looked at once."""

from collections.abc import Mapping, Set
from functools import cached_property

from msgspec import Struct

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.modules import Module

Kind = tuple[str, int]
"""Place in its layer, or relative to the base, and the identity of what a module holds: modules of
one kind are alike, whatever their layer."""
LayerKind = tuple[Kind, ...]
Blocks = Mapping[str, Mapping[str, str]]
"""Place of a block in its layer -> its modules and parameters -> one stored name for each."""


class Parted(Struct, frozen=True):
    """What is below the base of a tree, by layers."""

    layers: Mapping[int, Mapping[str, str]]
    """Layer number -> place in the layer -> checkpoint name."""
    outside: Mapping[str, str]
    """Place -> checkpoint name, of what is in no layer; a layer with parameters is in none."""
    kinds: Mapping[str, Kind]
    """Checkpoint name -> its kind."""


class LayerBlocks(Struct, frozen=True, dict=True):
    """The blocks of every layer."""

    modules: Mapping[str, Module]
    parted: Parted
    list_name: str
    """Name of the list of layers."""

    def _own(self, number: int) -> str | None:
        """The module that holds the layer's own parameters."""
        return self.parted.outside.get(f"{self.list_name}.{number}")

    @cached_property
    def kinds(self) -> Mapping[int, LayerKind]:
        """Layer number -> the kinds of everything in it: layers of one kind have the same parts."""
        shared: dict[LayerKind, LayerKind] = {}
        kinds = {}
        for number, held in self.parted.layers.items():
            kind = tuple(self.parted.kinds[name] for name in held.values())
            if own := self._own(number):
                kind = *kind, ("", self.parted.kinds[own][1])
            kinds[number] = shared.setdefault(kind, kind)
        return kinds

    def of(self, number: int) -> Blocks:
        """The blocks of one layer, itself under an empty name.

        A bank of experts is listed as `experts`, without its contents.
        """
        found: dict[str, dict[str, str]] = {}
        for place, name in self.parted.layers[number].items():
            self._add(found, place, name)
        if own := self._own(number):
            for role in self.modules[own].tensors:
                found.setdefault("", {}).setdefault(role, own)
        return found

    def _add(self, found: dict[str, dict[str, str]], place: str, name: str) -> None:
        head, bank, _ = f"{place}.".partition(EXPERTS)
        parts = (f"{head}{EXPERTS[:-1]}" if bank else place).split(".")
        for end in range(len(parts)):
            found.setdefault(".".join(parts[:end]), {}).setdefault(parts[end], name)
        module = self.modules[name]
        if module.weight is None and not bank:
            own = found.setdefault(place, {})
            for role in module.tensors:
                own.setdefault(role, name)

    @cached_property
    def loose(self) -> Blocks:
        """Place in the list of layers, but in no layer -> its parameters."""
        layers = {f"{self.list_name}.{number}" for number in self.parted.layers}
        return {
            place: dict.fromkeys(self.modules[name].tensors, name)
            for place, name in self.parted.outside.items()
            if place.startswith(f"{self.list_name}.") and place not in layers
        }

    def parts_of(self, number: int) -> Set[str]:
        """Places in a layer of all that is there: modules, blocks and parameters."""
        kind = self.kinds[number]
        if kind not in self._parts:
            blocks = self.of(number).items()
            inner = (f"{block}.{part}" if block else part for block, ps in blocks for part in ps)
            self._parts[kind] = {*self.parted.layers[number], *inner}
        return self._parts[kind]

    @cached_property
    def _parts(self) -> dict[LayerKind, Set[str]]:
        return {}
