"""The files under `runtimes/families/`: what a table of them may say of model classes."""

import msgspec

from ckptfix.runtimes.name_maps import RuleSpec


class FamilySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[families]]` table: model classes of one runtime that place modules alike."""

    runtime: str
    """Its name, as `vllm`."""
    architectures: tuple[str, ...]
    """Entries of `architectures` in config.json."""
    source: str
    """Where this was read: project, version, files."""
    versions: str = ""
    """Releases that it holds for, a PEP 440 specifier; empty for all."""
    inner: tuple[str, ...] = ()
    """Architectures built inside whose tables reach the metadata too, outermost first."""
    inner_from_config: bool = False
    """The language model's own `architectures` in config.json go before `inner`."""
    rules: tuple[RuleSpec, ...] = ()
    """Checkpoint module name -> place in the runtime's module tree."""
    asked: tuple[RuleSpec, ...] = ()
    """Place -> name that the config is asked for, where the class passes another prefix."""
    packed: dict[str, tuple[str, ...]] = {}
    """Last part of a packed module's name -> last parts of its members', in order."""
    adds_packed: dict[str, tuple[str, ...]] = {}
    """Last part of a packed module's name, of those in `packed`, that `__init__` adds to the packed
    table of the class -> keys of the language model's config, of which one must be set to that."""
    banks: tuple[str, ...] = ("experts",)
    """Parts of a name that end the name of an expert bank; what is below belongs to the bank."""
    heads: tuple[str, ...] = ("lm_head", "*.lm_head")
    """Runtime names of output heads; `*` stands for any characters."""
    embeddings: tuple[str, ...] = ("embed_tokens", "*.embed_tokens")
    """Runtime names of embeddings."""
    unquantized: tuple[str, ...] = ()
    """Runtime names of modules that are built without a quantization config."""
    unquantized_unless_64: dict[str, tuple[str, ...]] = {}
    """Key of a tower's config -> runtime names of modules that take a quantization config only
    where hidden_size and intermediate_size of the tower are multiples of 64."""
    tree: tuple[str, ...] = ()
    """Runtime names of all modules that the classes may build, before packing: `#` stands for a
    number, `{a,b}` for one of several, `*` for any characters. Empty where they are not listed."""
    together: tuple[tuple[str, ...], ...] = ()
    """Last parts of names of which a block holds all or none; `a|b` where it may hold either."""
    in_every_layer: tuple[str, ...] = ()
    """Last parts of names of modules that every layer of the language model has."""
    untaken: tuple[str, ...] = ()
    """Shell patterns of checkpoint names that the classes do not load, though a later transformers
    writes them."""
    without_scales: tuple[str, ...] = ()
    """Shell patterns of checkpoint names of modules of which only weight and bias are loaded."""
    refuses_stacked_experts: bool = False
    """Unquantized experts stored as one tensor stop the release where it has a config."""
    reads_scales: tuple[str, ...] = ()
    """Roles of scales that the classes rename to the one that the layer has."""
    kv_scales: bool = True
    """False: `k_scale` and `v_scale` of the checkpoint are not loaded."""
    leaves_out_tied_head: bool = False
    """A stored head is not loaded where config.json ties it to the embeddings."""
    needs: tuple[str, ...] = ()
    """Keys that the language model's config must have: the classes read them, nothing sets them."""
    allows: dict[str, tuple[str, ...]] = {}
    """Key of the language model's config, a list there -> the values that it may hold."""


class UnknownSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[unknown]]` table: model classes that were read and that no family can describe."""

    runtime: str
    """Its name, as `vllm`."""
    architectures: tuple[str, ...]
    """Entries of `architectures` in config.json."""
    source: str
    """Where this was read: project, version, files."""
    reason: str
    """Why, as the end of a sentence for the user."""


class FamilyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file under `runtimes/families/`."""

    description: str
    families: tuple[FamilySpec, ...] = ()
    unknown: tuple[UnknownSpec, ...] = ()
