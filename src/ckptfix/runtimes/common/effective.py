"""The metadata as a release stores it."""

from msgspec import Struct

from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.jsontext.text import Path

DEFAULT_GROUP_SIZE = 16
"""Input columns per NVFP4 scale where the metadata declares none."""


class Experts(Struct, frozen=True):
    """How expert banks are built, if differently from all other modules."""

    quant_algo: str
    if_excluded: str = ""
    """quant_algo of a bank that a pattern excludes; patterns concern no other modules."""


class EffectiveMetadata(Struct, frozen=True):
    """What a runtime uses of the metadata."""

    file: str
    """The file that decides."""
    root: Path
    """Path of the object in it whose fields are read."""
    quant_algo: str
    """Upper case; empty if the release builds everything unquantized."""
    entries: tuple[Statement, ...] = ()
    """In the order of the file, because some lookups take the first match."""
    excludes: tuple[Statement, ...] = ()
    group_size: object = DEFAULT_GROUP_SIZE
    """For NVFP4 layers, as the release stores it; it stops unless this is a positive number."""
    kv_cache: bool = False
    """The attention layers are built with scales for a quantized KV cache."""
    experts: Experts | None = None
    """None: they are built like all other modules."""
    declared: str = ""
    """What the metadata declares instead of `quant_algo`, where the release reads it as that."""
    ignored: str = ""
    """Why the release does not read the metadata at all; empty when it does."""

    @property
    def is_mixed(self) -> bool:
        """True when quantized_layers decides per module."""
        return self.quant_algo == "MIXED_PRECISION"
