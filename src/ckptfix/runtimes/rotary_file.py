"""The file `<runtime>/rotary.toml`, see `rotary.py`."""

import msgspec


class RotaryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the releases of a runtime make of rotary settings."""

    since: str
    """The release that was read; others may take more, or less."""
    source: str
    architectures: tuple[str, ...]
    """Classes that pass on the rotary settings of their config as they are."""
    wrappers: tuple[str, ...]
    """Classes that do so with those of the language model's config within theirs."""
    of_transformers: tuple[str, ...] = ()
    """Classes that the runtime builds of transformers' modules, which pass on theirs too."""
    types_of_transformers: tuple[str, ...] = ()
    """All types that these know."""
    numbers: dict[str, tuple[str, ...]]
    """Every type that is known -> keys that must be numbers where they are set."""
    needs: dict[str, tuple[str, ...]] = {}
    """Type -> keys that it cannot do without, and that no config class fills in."""
    needs_of: dict[str, dict[str, tuple[str, ...]]] = {}
    """Class -> the same of what it alone cannot do without."""
    above: dict[str, dict[str, float]] = {}
    """Type, or `*` for all that a class passes on -> keys -> what their numbers must be above."""
    at_most: dict[str, dict[str, float]] = {}
    """The same of what they must not be above."""
    not_zero: dict[str, tuple[str, ...]] = {}
    """Type -> keys of numbers by which it divides."""
    no_bools: dict[str, dict[str, str]] = {}
    """Type -> keys that it subtracts from tensors, which it cannot do with true or false, each with
    the key that makes no difference where both are equal: then it does not."""
    of_layers: dict[str, tuple[str, ...]] = {}
    """Class -> kinds of layers, if config.json has settings for each: they are an object of a type
    that is known, where a layer is of that kind."""
    renamed: dict[str, str] = {}
    """Another name of a type -> the type."""
    agree: tuple[tuple[str, str], ...] | None = None
    """Pairs of a `rope_type` and a `type` that may differ next to each other;
    others stop every class. None where a release reads only one of them."""
    needs_type: bool = False
    """A language model's config within config.json that has rotary settings stops every class if
    its `model_type` is null, and every one if that is something else than a string."""
    made_default: dict[str, tuple[str, ...]] = {}
    """Class -> types for which its config class puts `default`."""
    not_read: dict[str, tuple[str, ...]] = {}
    """Class -> keys of its rotary settings that it takes from elsewhere."""
    every_type: dict[str, tuple[str, ...]] = {}
    """Type -> classes that make it of every type that is given, but `default`."""
    default_too: bool = False
    """They make it of `default`, too."""
    filled: dict[str, tuple[str, ...]] = {}
    """Key -> types that are given for which a config class puts it in where it is missing."""
    default_if_null: tuple[str, ...] = ()
    """Classes that take a type of null for that."""
    all_in_one: tuple[str, ...] = ()
    """Wrappers whose config class reads a config.json without a part for the language model as one
    of that, too, as they are published."""
    three_sections: bool = False
    """A list in `mrope_section` has three numbers; their sum does not count."""
    sections_sum: dict[str, tuple[str, ...]] = {}
    """Class that takes only a `mrope_section` whose sum is half of the rotary dimensions -> keys
    without which these are not known; `*` for all of `architectures`."""
