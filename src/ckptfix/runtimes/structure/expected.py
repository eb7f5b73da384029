"""What the classes of a release build in addition to what their family describes."""

from msgspec import Struct

from ckptfix.runtimes.by_config import ByConfig
from ckptfix.runtimes.config_classes import ConfigClass
from ckptfix.runtimes.equations import Equation
from ckptfix.runtimes.family_spec import BuiltWhenSpec
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.learned.lists import Lists
from ckptfix.runtimes.learned.sizes import Sizes
from ckptfix.runtimes.rotary import Rotary
from ckptfix.runtimes.tried import Tried


class Expected(Struct, frozen=True):
    """What the classes build in addition to what their family describes."""

    layout: Layout | None
    """Layout of the language model; None if there is none for it."""
    built: tuple[BuiltWhenSpec, ...] = ()
    """Modules that this release builds only if a key of config.json is set."""
    loads_kv_scales: bool = True
    """The classes load scales of a KV cache."""
    stops_at_kv_scales: bool = False
    """The classes stop at scales of a KV cache, whatever the metadata declares."""
    takes_fused_experts: bool | None = None
    """As `fused_experts` of the family says for this release."""
    kv_scales_need_config: bool = False
    """Scales of a KV cache stop it if it has no quantization config."""
    drops_role: str = ""
    """Role of tensors that the release drops before any class loads them."""
    drops_tables: frozenset[str] = frozenset()
    stops_at_tables: frozenset[str] = frozenset()
    """Stored modules with tables of rotary embeddings alone: dropped, or the loader raises."""
    skips_kv_scales: str = ""
    """Shell pattern of checkpoint names outside of the language model, as in `Runtime`."""
    tied: bool | None = None
    """The head is tied to the embeddings; None if that is not known."""
    ties_differ: bool = False
    """config.json has two values for that, and it is not known which counts."""
    config_class: ConfigClass | None = None
    """The class that reads config.json, where it is recorded."""
    needs_model_type: bool = False
    unknown_type: tuple[str, str] | None = None
    """It stops without a `model_type`, and at one that no config class is known for: that, and
    where it is."""
    foreign_type: str = ""
    """`model_type` of config.json, if that is of other classes than the one that is built."""
    stray_config: str = ""
    """Key of config.json whose value it takes for the language model's config, and stops."""
    tried: tuple[Tried, ...] = ()
    """Values of config.json that stop the classes, where they were tried."""
    rotary: Rotary | None = None
    """What the rotary embedding takes, where the class passes the settings on as they are."""
    sizes: Sizes | None = None
    """Sizes that follow from config.json, where they were learned from the class."""
    lists: Lists | None = None
    """How many blocks its towers have, where that was learned from the class."""
    equations: tuple[Equation, ...] = ()
    """Numbers of config.json that the class compares with each other."""
    by_config: ByConfig | None = None
    """What else its values decide, where that was read in the class."""
    lacks: tuple[str, ...] = ()
    """Keys, each with its path, that the class was seen to need and config.json lacks."""
