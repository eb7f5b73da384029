"""The files under `runtimes/families/`: the tables that describe model classes."""

from typing import Literal

import msgspec

from ckptfix.runtimes.name_maps import RuleSpec


class BuiltWhenSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Modules that are built, and must be stored, if a number in config.json is above 0."""

    key: str
    """Key of the language model's config; a dot descends into an object."""
    modules: tuple[str, ...]
    """Their names in the checkpoint."""
    source: str
    """Source: project, version, file."""
    architectures: tuple[str, ...] = ()
    """Of the family's; empty for all of them."""
    versions: str = ""
    """Releases that it holds for, a PEP 440 specifier; empty for all."""
    values: tuple[str | bool, ...] = ()
    """Values of the key, instead of numbers above 0: without one of them, the modules are not built
    and stored ones are skipped."""


class PlacesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[families.places]` table: where modules go, where the learned table does not say so."""

    reason: str
    """Why not."""
    differs_at: tuple[str, ...] = ()
    """Checkpoint modules that the table places in another way, or does not know; empty where the
    class was not learned, or with an invented config only."""
    asks_otherwise: bool = False
    """A module that was tried is looked up under another name than in the table, or not at all."""
    rules: tuple[RuleSpec, ...] = ()
    """Checkpoint module name -> place in the runtime's module tree."""
    looked_up: tuple[RuleSpec, ...] = ()
    """Place -> name looked up in the config, if the class passes a different prefix."""
    packed: dict[str, tuple[str, ...]] = {}
    """Last part of a packed module's name -> last parts of its members', in order."""
    heads: tuple[str, ...] = ("lm_head", "*.lm_head")
    """Runtime names of output heads; `*` matches any characters."""
    embeddings: tuple[str, ...] = ("embed_tokens", "*.embed_tokens")
    """Runtime names of embeddings."""
    unquantized: tuple[str, ...] = ()
    """Runtime names of modules that are built without a quantization config."""
    unquantized_in: dict[str, tuple[str, ...]] = {}
    """quant_algo of the whole checkpoint -> runtime names of modules that get no quantization
    config then."""
    unquantized_unless_64: dict[str, tuple[str, ...]] = {}
    """Key of a tower's config -> runtime names of modules that get a quantization config only if
    hidden_size and intermediate_size of the tower are multiples of 64."""


class FamilySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[families]]` table: model classes of one runtime with the same layout."""

    runtime: str
    """Its name, as `vllm`."""
    architectures: tuple[str, ...]
    """Entries of `architectures` in config.json."""
    source: str
    """Source: project, version, files."""
    reason: str
    """What is said here that was not learned from the classes."""
    places: PlacesSpec | None = None
    """Where modules go; None: where the learned table of the newest release that `versions` covers
    puts them, in all of these releases."""
    with_own_packed: tuple[str, ...] = ()
    """Shell patterns of names looked up before a class inside is built: packed tables of that one
    do not count yet."""
    skips: tuple[str, ...] = ()
    """First parts of checkpoint names that the classes leave to another class."""
    spellings: tuple[RuleSpec, ...] = ()
    """Checkpoint names in a spelling that was not tried -> the same in one that was."""
    versions: str = ""
    """Releases that it holds for, a PEP 440 specifier; empty for all."""
    inner: tuple[str, ...] = ()
    """Architectures built inside whose tables reach the metadata too, outermost first."""
    inner_from_config: bool = False
    """The language model's own `architectures` in config.json take precedence over `inner`."""
    adds_packed: dict[str, tuple[str, ...]] = {}
    """Last part of the name of a packed module that `__init__` adds to the packed table of the
    class -> keys of the language model's config, one of which must be set for that."""
    base: str = ""
    """Place of the language model that has embeddings and layers, as `model`."""
    layout: str = ""
    """Name of its layout in `runtimes/layouts/`; empty if there is none."""
    layout_by: dict[str, str] = {}
    """Architecture -> its layout, if it differs from `layout`."""
    towers: dict[str, str] = {}
    """Place of a tower or projector -> name of its layout; each is built with every config."""
    other_towers: tuple[str, ...] = ()
    """Places of further towers and projectors that are built with every config."""
    no_towers_if: str = ""
    """Key at the top of config.json that leaves all of them out if it is true."""
    outside: tuple[str, ...] = ()
    """Places of all modules outside of the language model that the classes may build, with `#`,
    `{a,b}` and `*` as in layouts; empty if they are not listed."""
    built_when: tuple[BuiltWhenSpec, ...] = ()
    """Modules outside of the language model that only some configs have."""
    untaken: tuple[str, ...] = ()
    """Shell patterns of checkpoint names that the classes do not load, although a later
    transformers writes them."""
    without_scales: tuple[str, ...] = ()
    """Shell patterns of checkpoint names of modules of which only weight and bias are loaded."""
    dequantized: tuple[str, ...] = ()
    """Shell patterns of checkpoint names of modules that the loader dequantizes if they are stored
    in FP8 with `weight_scale_inv`."""
    own_scales: bool = False
    """The classes load scales under the names of Mistral's own format: `qscale_weight`."""
    own_cache_scales_stop: tuple[str, ...] = ()
    """Architectures, of the class or of one inside, that stop at scales of a KV cache under such a
    name: `k_fake_quantizer.qscale_act`."""
    turned: tuple[str, ...] = ()
    """Shell patterns of checkpoint names of modules whose rows the loader reorders, but only those
    of `weight` and `qscale_weight`."""
    scales_by_part: tuple[str, ...] = ()
    """Shell patterns of checkpoint names of modules, stored as one, that the classes build of
    several, with a weight_scale and input_scale for each: one for the whole stops them."""
    joined: tuple[str, ...] = ()
    """Last parts of the names of modules whose tensors the loader joins by rows: where they store
    shapes or an order of columns, these get too long."""
    drops_below: tuple[str, ...] = ()
    """Places below which the loader skips a tensor for which there is no parameter."""
    refuses_stacked_experts: bool = False
    """Unquantized experts stored as one tensor stop the release if it has a config."""
    fused_experts: str | None = None
    """Releases, a PEP 440 specifier or `none`, that load experts stored as `experts.gate_up_proj`
    and `experts.down_proj`. They have no parameter for the scales of these, and the others lose the
    experts. None: that is not known, or the class has a loader of its own."""
    stops_at_fused_experts: bool | None = None
    """Whether the release stops at those of them that it does not load; None: at scales only."""
    takes_inputs_first: bool = False
    """Quantized experts stored as one tensor `[experts, in, out]`, packed along the inputs, are
    loaded, with scales in the same order."""
    reads_scales: tuple[str, ...] = ()
    """Roles of scales that the classes rename to the one that the layer has."""
    kv_scales: bool | None = None
    """False: `k_scale` and `v_scale` of the checkpoint are not loaded; None: as in the table, and
    where they were not tried, they are."""
    stops_at_kv_scales: bool = False
    """The classes stop at a `k_scale` or `v_scale`, for which they have no parameter."""
    stops_at_kv_scales_in: dict[str, str] = {}
    """Architecture -> the releases, a PEP 440 specifier, whose class stops at `k_scale` of `k_proj`
    and `v_scale` of `v_proj`."""
    passes_over_kv_scales: bool = False
    """The classes look for the place of `k_scale` and `v_scale` themselves, and skip them if there
    is none."""
    stops_at_kv_scales_of: tuple[str, ...] = ()
    """Last parts of the names of modules next to which they stop at these scales nevertheless."""
    leaves_out_tied_head: bool = False
    """A stored head is not loaded if config.json ties it to the embeddings."""
    leaves_out_head: bool = False
    """A stored head is never loaded."""
    ties: Literal["always", "never", ""] = ""
    """Whether the head is tied to the embeddings in classes that do not read
    `tie_word_embeddings`."""
    must_tie: bool = False
    """The classes stop if config.json does not tie the head to the embeddings."""
    tied_by_wrapper: bool = False
    """`tie_word_embeddings` at the top of config.json decides, not the language model's own."""
    tied_by_text: bool = False
    """The language model's own decides, also in releases where the wrapper's does for others; if
    the wrapper's is true too, the release takes a stored head for untied."""
    tied_by_either: bool = False
    """A head that is not stored gets the embeddings if `tie_word_embeddings` is true in either
    place."""
    needs: tuple[str, ...] = ()
    """Keys that the language model's config must have: the classes read them, nothing sets them."""
    needs_objects: tuple[str, ...] = ()
    """Objects of config.json, each with its path from the top, without which the classes stop."""
    needs_paths: tuple[str, ...] = ()
    """Keys of config.json, each with its path from the top, that the classes read there; null is
    a value."""
    not_null: tuple[str, ...] = ()
    """Keys of the language model's config at whose null the classes stop."""
    divides_by: tuple[str, ...] = ()
    """Keys of the language model's config by which the classes divide, so that 0 stops them."""
    allows: dict[str, tuple[str, ...]] = {}
    """Key of the language model's config with a list -> the values that it may contain."""

    tower_types: dict[str, tuple[str, ...]] = {}
    """Key of a tower's config -> the values of `model_type` there whose classes are registered; the
    class looks the tower up by it, and stops at others."""


class UnknownSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[unknown]]` table: model classes that no family describes, in some releases or all."""

    runtime: str
    """Its name, as `vllm`."""
    architectures: tuple[str, ...]
    """Entries of `architectures` in config.json."""
    source: str
    """Source: project, version, files."""
    reason: str
    """Why, as the end of a sentence for the user."""
    versions: str = ""
    """Releases for which no entry describes them, a PEP 440 specifier; empty for all."""


class FamilyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file under `runtimes/families/`."""

    description: str
    families: tuple[FamilySpec, ...] = ()
    unknown: tuple[UnknownSpec, ...] = ()
