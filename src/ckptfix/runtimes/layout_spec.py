"""The files under `runtimes/layouts/`: tables that describe a language model or a tower."""

import msgspec


class BiasSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the class builds a bias for some modules."""

    modules: tuple[str, ...]
    when: tuple[str, ...] = ()
    """Keys of config.json, one of which must be true; empty: always."""
    never: bool = False


class LayerKindsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of config.json that lists the kind of every layer."""

    key: str
    """A dot descends into an object: `sparse_attention_config.sparse_attention_freq`."""
    modules: dict[str, str]
    """Kind -> a module that only layers of that kind have."""
    counts: bool = False
    """The length of the list is the number of layers, regardless of num_hidden_layers."""
    if_none: tuple[str, ...] | str = ()
    """The list that the config class has where no key that counts holds one."""
    unless: str = ""
    """Key of a list that counts instead, where there is one."""
    exclusive: bool = False
    """A layer of one kind has nothing in the blocks in which the others have their modules."""
    every: int = 0
    """The class ignores lists: the key holds a number n, and every nth layer has the last kind of
    `modules`, all others the first. This is the n of the config class where the key is missing."""


class WhenSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What layers have, or what is beside them, for some values of config.json."""

    key: str
    values: tuple[str, ...] = ()
    """Those values; empty for true, and numbers above 0."""
    in_every_layer: tuple[str, ...] = ()
    """As in `LayoutSpec`."""
    beside: dict[str, tuple[str, ...]] = {}
    """As in `LayoutSpec`."""
    beside_layers: tuple[str, ...] = ()
    """As in `LayoutSpec`."""
    with_weight: dict[str, tuple[str, ...]] = {}
    """As in `LayoutSpec`."""

    def holds(self, value: object) -> bool:
        """Whether the layers are so where the key has this value."""
        if self.values:
            return value in self.values
        return value is True or (isinstance(value, int) and value > 0)


class OnlyIfSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Modules and parameters of layers that are built only for some values of config.json."""

    key: str
    names: tuple[str, ...]
    """Last parts of their names."""
    values: tuple[str | bool, ...] = ()
    """Those values; empty for any but null."""
    null: bool = False
    """For null alone instead."""


class SparseLayersSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Layers with and without experts.

    The dense ones are those that `mlp_only_layers` and `decoder_sparse_step` determine (none, and
    1, if config.json does not set them), or the first ones.
    """

    sparse: str
    """A module that only layers with experts have."""
    dense: str
    """A module that only layers without experts have."""
    first_dense: str = ""
    """Key of config.json: how many layers have no experts, from the first."""
    unless: tuple[str, ...] = ()
    """Keys of config.json that override this if set, in a way that is not known."""
    dense_types: tuple[str, ...] = ()
    """Values of `model_type` with which no layer has experts, whatever number of them is given."""


class LayoutSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[layouts.NAME]` table: a language model or a tower.

    In names `#` stands for a number, `{a,b}` for one of several, `*` for any characters.
    """

    source: str
    """Source: project, version, files."""
    extends: str = ""
    """A layout to inherit every key from that is not set here."""
    layers: str = "layers"
    """Name of the list of its layers; empty if it has none."""
    settings: str = ""
    """Key of its own config, of a tower; empty for the language model's."""
    model_types: tuple[str, ...] = ()
    """Values of `model_type` in its own config with which it is this tower; empty for all."""
    count: str = ""
    """Key there of the number of layers; empty for the language model's."""
    modules: tuple[str, ...] = ()
    """All modules that the class may build; empty if they are not listed."""
    beside_layers: tuple[str, ...] = ()
    """Modules that it always has, as `norm`."""
    for_each_of: dict[str, tuple[str, ...]] = {}
    """Key of a list in its config -> modules that it has once for each item, numbered from 0."""
    default_lengths: dict[str, int] = {}
    """Length of such a list that its config class has where the key is missing."""
    top_parameters: tuple[str, ...] = ()
    """Parameters outside of modules that the checkpoint or the tower always has."""
    parameters: tuple[str, ...] = ()
    """Last parts of the names of further parameters that its blocks may have, where the class was
    not seen to take them."""
    sizes_of_parameters: dict[str, tuple[str, ...]] = {}
    """Parameter outside of modules -> as `sizes`."""
    in_every_layer: tuple[str, ...] = ()
    """Modules and parameters that every layer has; `a|b` where it may have either."""
    together: tuple[tuple[str, ...], ...] = ()
    """Last parts of names, of modules or parameters, of which a block contains all or none; `a|b`
    where it may contain either."""
    beside: dict[str, tuple[str, ...]] = {}
    """Last part of a name -> last parts of what its block must contain then."""
    when: tuple[WhenSpec, ...] = ()
    only_if: tuple[OnlyIfSpec, ...] = ()
    experts: tuple[str, ...] = ()
    """Modules of every expert; empty if not known."""
    bank_parameters: tuple[str, ...] = ()
    """All parameters that a bank of experts has in addition to its projections, where each of these
    is stored as one tensor in MXFP4."""
    with_weight: dict[str, tuple[str, ...]] = {}
    """Module -> parameters that it has in addition to its weight; `a|b` where it may have
    either."""
    may_have: dict[str, tuple[str, ...]] = {}
    """Module -> parameters that it has besides, for some configs."""
    biases: tuple[BiasSpec, ...] = ()
    sizes: dict[str, tuple[str, ...]] = {}
    """Module -> size of each dimension of its weight: a sum of products of numbers and keys of the
    config, `a/b` a whole quotient, or `a` times the whole number next to 1 / `b` where that is a
    fraction, `a^b` the next multiple of b; after `|` an alternative if a key is missing. If each
    lacks a key, as `?` always does, the size is not known: config classes have their defaults."""
    sizes_need: tuple[str, ...] = ()
    """Keys of its config: where one of them is false, the sizes are others."""
    layer_kinds: tuple[LayerKindsSpec, ...] = ()
    sparse_layers: SparseLayersSpec | None = None
