"""What one release of a runtime knows about an architecture, as data.

Made by `tools/extract_profiles.py` from an unpacked wheel; never by importing a runtime.
"""

from collections.abc import Mapping

from msgspec import Struct, field

NameRule = tuple[str, str | None]
"""(old, new); None deletes the name."""


class ConfigMapper(Struct, frozen=True):
    """The class-level mapper that a runtime applies to the names in the metadata.

    Rules are in the order of the source; a release's lookup rules define how they combine.
    """

    regex: tuple[NameRule, ...] = ()
    substr: tuple[NameRule, ...] = ()
    prefix: tuple[NameRule, ...] = ()
    suffix: tuple[NameRule, ...] = ()


class SubModel(Struct, frozen=True):
    """A part of the model that the class builds under a separate prefix."""

    attribute: str
    prefix: str | None
    """Prefix below that of the model, "" for the same; None if it is computed."""
    class_name: str
    """The function that builds it; `init_vllm_registered_model` builds another architecture."""


class ArchitectureProfile(Struct, frozen=True):
    """One registered architecture in one release."""

    architecture: str
    class_name: str
    file: str
    """Path in the wheel."""
    mapper: ConfigMapper | None = None
    packed_modules: Mapping[str, tuple[str, ...]] | None = None
    """Packed module -> its members; None when the class has no table."""
    supports_quant: bool = False
    """vLLM: the class is SupportsQuant, so its tables reach the metadata wherever it is built."""
    sub_models: tuple[SubModel, ...] = ()
    depends_on_config: bool = False
    """Mapper or packed table are also set in methods, from the model's config, or cannot be read
    from the source alone; then there is none here."""


class RuntimeProfile(Struct, frozen=True):
    """One release of a runtime."""

    runtime: str
    """Its name, as `vllm`."""
    version: str
    source: str
    """Source: wheel file name and, if known, its SHA-256."""
    architectures: Mapping[str, ArchitectureProfile] = field(default_factory=dict)
    """Lazy if loaded from a file: profiles are built on first use."""
