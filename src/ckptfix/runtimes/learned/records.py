"""The files under `<runtime>/learned/`."""

from typing import Any, Literal

import msgspec

ConfigSource = Literal["real", "library", "invented"]
"""Of the config that a class was built with: a published one, the default of the library's or the
runtime's config class, or made up to make it build."""


class NameRecord(msgspec.Struct, frozen=True, array_like=True):
    """One tensor name of a block; for a matrix, where it ends.

    `~` at the start means the place of the block.
    """

    name: str
    """Relative to the block, every number as `#`."""
    place: str = ""
    """Of the module that the tensor ends in; empty if it is not a matrix."""
    asked: str | None = "="
    """Name that the module looks up in its quantization config; `=`: its place; None: no lookup;
    empty: no name."""
    kind: str = ""
    """linear, head, embedding, experts or other."""
    proved: str = ""
    """Observed formats: `8` loaded as FP8, `4` as NVFP4, `m` with MIXED_PRECISION."""


class BlockRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tensors that share a name up to its first number; the block "" has those without one.

    That block also holds the names of the others.
    """

    names: tuple[NameRecord, ...]
    """In the order of their places; members of a packed module in packed order."""
    shapes: dict[str, tuple[str, ...]]
    """Condition -> sets of the names that a block holds, each the sum of 1 << index in hex.
    Conditions are "", the config that the class was learned with, and `key=value`, the same with
    one value changed, if the sets differ; without any if the class then loads nothing."""
    at: str = ""
    """Its place in the runtime; empty if that is its own name."""
    also: tuple[NameRecord, ...] = ()
    """Second places of names above."""
    instead: dict[str, tuple[NameRecord, ...]] = {}
    """Condition, as in `shapes` -> where names above end then."""
    numbers: tuple[int, ...] = ()
    """The numbers of such blocks; empty if they count from 0."""


NameRule = tuple[str, str | None]
"""(old, new); None deletes the name."""


class MapperRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rules of one mapper, as in `ckptfix.runtimes.profile.ConfigMapper`."""

    regex: tuple[NameRule, ...] = ()
    substr: tuple[NameRule, ...] = ()
    prefix: tuple[NameRule, ...] = ()
    suffix: tuple[NameRule, ...] = ()


class TableRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The behaviour of a class."""

    blocks: dict[str, BlockRecord]
    values: dict[str, Any] = {}
    """Key of config.json, or `part.key`, in some condition -> its default value."""
    unused: tuple[str, ...] = ()
    """Tensors that are accepted but not loaded."""
    unclear: tuple[str, ...] = ()
    """Tensors whose numbers do not carry over to their place or looked-up name."""
    dropped: dict[str, tuple[str, ...]] = {}
    """quant_algo of the metadata -> places that do not get a config of that name, but do get
    others."""
    kv_scales: bool | None = None
    """Whether `k_scale` and `v_scale` are loaded; None if not observed."""
    stops_at_kv_scales: bool = False
    """The loader raised at them."""
    skips_drafts: str = ""
    """Path of the key of config.json that counts draft layers, if the class was seen to pass over
    those that are stored with a model; empty if it was not."""
    packed: dict[str, tuple[str, ...]] = {}
    """The packed table that the quantization config has once the model is built, of vLLM."""
    mappers: tuple[MapperRecord, ...] | None = None
    """What is applied to the names in the metadata, in order, of vLLM; None if not observed: then
    the profile of the release has it."""
    inner: tuple[str, ...] = ()
    """Registered architectures whose classes are built inside, outermost first."""


class ArchitectureRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The origin of what was learned about an architecture."""

    table: str
    """Its id."""
    class_file: str
    """In the wheel."""
    source: ConfigSource
    config: str = ""
    """The repository or the config class; empty for an invented one."""
    guessed: int = 0
    """Values that were made up because the class needs them and the config lacks them."""
    needs: tuple[str, ...] = ()
    """Their keys, each with its path in config.json, if the config class has no value for it; and
    those whose default is not what published checkpoints have, which it was learned with."""
    only_type: str = ""
    """The `model_type` that it was built with, if it failed with a config of another type."""
    names: Literal["library", "runtime", ""] = "library"
    """Whose names were sent through the loader: transformers' or the runtime's own."""
    single_pass: bool = False
    """All of them load in one pass and fill every parameter."""
    heads: tuple[str, ...] = ()
    """Names that output heads look up, of those that the class builds whatever
    `tie_word_embeddings` is; not of draft layers, which have the head of their model."""
    alike: tuple[str, ...] = ()
    """An older and a newer release that built the class and got the same table, if this one did not
    build it."""


class ReleaseRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One release."""

    runtime: str
    version: str
    transformers: str
    """Its release, which determines the library's configs and names."""
    architectures: dict[str, ArchitectureRecord]
    failed: dict[str, str] = {}
    """Architectures that could not be built, and why."""
