"""The interface of a runtime. Its folder has a `runtime.py` that declares `RUNTIME`.

What a runtime does by release is in the folder too: rows of tables, and a profile for each release.
Where its model classes put modules is data, in `families/*.toml`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from msgspec import Struct, field

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import MIXED
from ckptfix.runtimes.common.bound import BoundMetadata, bind, bind_names
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.exclusion import Exclusion
from ckptfix.runtimes.common.layer_maps import Files
from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.common.methods import QuantMethod
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.online import OnlineRow
from ckptfix.runtimes.common.patterns import Packed, PatternTable
from ckptfix.runtimes.common.rows import Row, covers, known_row, row_for
from ckptfix.runtimes.config_classes import ConfigClassesRow, StrayConfig
from ckptfix.runtimes.profile import ConfigMapper, RuntimeProfile

Read = Callable[[Files, str, str], EffectiveMetadata | None]
"""(files, version, architecture) -> the metadata as the release stores it, None where it finds
none. It raises StopsError where the release stops before it builds a layer, and NotModelOptError
where it reads the metadata as another quantizer's."""
MakeExclusion = Callable[[str, str, PatternTable, Packed], Exclusion]
"""(version, quant_algo of the metadata as a whole, exclude patterns, packed tables) -> the patterns
as the release applies them."""


NeededOptions = Callable[[str, str, str, Mapping[str, str]], tuple[str, ...]]
"""(version, architecture, quant_algo of the metadata as a whole, module -> its stored format) ->
options without which the server does not load the modules as they are stored."""


def _no_options(
    _version: str, _architecture: str, _algo: str, _stored: Mapping[str, str]
) -> tuple[str, ...]:
    return ()


def _no_method(_name: str, _version: str, _architecture: str) -> QuantMethod | None:
    return None


def _as_transformers(checkpoint: Checkpoint, _version: str) -> Checkpoint:
    return checkpoint


class Runtime(Struct, frozen=True, kw_only=True):
    """A serving runtime."""

    name: str
    """The name that users write before a version; also the name of its folder."""
    title: str
    """The name as its project spells it."""
    order: int
    """Position in lists: lower first."""
    serve_command: str
    """How it is started; `{}` is replaced by the checkpoint."""
    override_flag: str
    """The option that takes JSON whose values replace those of config.json."""
    reads: tuple[str, ...]
    """The metadata files that it reads, in the order in which it looks."""
    lookup_rules: Sequence[LookupRules]
    """How its releases look names up, a row for each that changed it."""
    read: Read
    exclusion: MakeExclusion
    reading_rows: Sequence[Row] = ()
    """The table that `read` looks a release up in; empty if it does not, or in none."""
    excluding_rows: Sequence[Row] = ()
    """That of `exclusion`. Releases with the same rows read and judge a checkpoint alike, so it is
    done once; without tables, it is done for each."""
    chooses: Callable[[Checkpoint, str], Checkpoint] = _as_transformers
    """(checkpoint, version) -> what the release reads: the checkpoint, or `other` of it. It
    raises StopsError where the release finds no config, or one that it refuses, and NotReadError
    where it is not known how it reads it."""
    flags_for_transformers: str = ""
    """Options with which it reads config.json where it reads params.json without; empty: none."""
    method_named: Callable[[str, str, str], QuantMethod | None] = _no_method
    """(quant_method of another quantizer, version, architecture) -> the class that reads it; None
    if that is not known."""
    needed_options: NeededOptions = _no_options
    """What its server has to be told."""
    online: tuple[OnlineRow, ...] = ()
    """What its releases quantize while loading, oldest first; empty if not known."""
    drops_strays: bool = False
    """It silently drops a tensor for which it has no parameter; otherwise it stops there."""
    scales_of_cache_with: frozenset[str] = frozenset()
    """Values of `quant_method` with which attention has scales of a KV cache, whether or not one is
    declared."""
    pads_short_mlps: bool = False
    """It pads an MLP all parts of which are stored narrower than config.json declares with zeros,
    without effect on the result."""
    needs_architectures: bool = False
    """It stops if config.json names no architectures; otherwise it uses the class of model_type."""
    validates_architectures: bool = False
    """It stops if an item of `architectures` is no string, whichever name it uses."""
    always_takes_kv_scales: bool = True
    """It has parameters for the scales of a KV cache even if the cache is not quantized."""
    drops_kv_scales_at: tuple[str, ...] = ()
    """Shell patterns of names of scales of a KV cache that it drops, although it takes others."""
    reads_output_scales: bool = False
    """Its classes take `output_scale` of keys and values for scales of a KV cache, whatever the
    quantizer is."""
    towers_skip_kv_scales: Mapping[str, str] = MappingProxyType({})
    """Architecture -> shell pattern of checkpoint names in towers that have no KV cache, whose
    loader passes over its scales; those of others stop at them."""
    kv_scales_need_config: str = ""
    """Releases, a PEP 440 specifier, most of whose classes stop at the scales of a KV cache if they
    have no quantization config; empty: all skip them."""
    tied_by_wrapper: str = ""
    """Releases, a PEP 440 specifier, in which `tie_word_embeddings` at the top of config.json
    decides for the language model inside too; empty: only in some classes."""
    with_transformers_5: str = ""
    """Releases, a PEP 440 specifier, that take transformers 5; empty: all do."""
    finds_unwritten_weights: bool = False
    """It stops where a norm or a parameter of an unquantized model is written by nothing."""
    builds_tied_heads: bool = False
    """It builds and quantizes a head that is tied to the embeddings, in all classes; otherwise in
    those of `quantized_heads.toml` in its folder."""
    config_classes: tuple[ConfigClassesRow, ...] = ()
    """With which classes its releases read config.json, oldest first; nobody looked before."""
    stray_config: StrayConfig | None = None
    """What it takes for the language model's config although the class reads no such config."""
    kv_scale_if_absent: float = 1.0
    """The scale of a quantized KV cache if none is stored (vLLM 0.33.0 and SGLang
    0.5.23, `process_weights_after_loading` in layers/quantization/kv_cache.py)."""
    asks_entry_of_excluded: bool = False
    """It looks up the entry of a module even if a pattern excludes it."""
    scale_names: Mapping[str, str] = field(default_factory=dict)
    """quant_algo -> its name for the scale of a weight, if not `weight_scale`."""

    def lookup_rules_of(self, version: str) -> LookupRules:
        """How a release looks names up.

        Raises:
            CkptfixError: the release is older than its first row.
        """
        return row_for(self.name, version, self.lookup_rules)

    def reads_as(self, version: str) -> str:
        """The first release that reads metadata in the same way."""
        row = known_row(version, self.reading_rows)
        return row.since if row is not None else version

    def looks_up_as(self, version: str) -> tuple[str, str]:
        """The first releases that look names up, and apply exclude patterns, in the same way."""
        row = known_row(version, self.excluding_rows)
        return self.lookup_rules_of(version).since, row.since if row is not None else version

    def takes_transformers_5(self, version: str) -> bool:
        """Whether transformers 5 may read config.json, not only earlier releases."""
        return covers(self.with_transformers_5, version)

    def online_row(self, version: str) -> OnlineRow | None:
        """What a release quantizes while loading; None if not known."""
        return row_for(self.name, version, self.online) if self.online else None

    def bind_names(
        self,
        profile: RuntimeProfile,
        architectures: Sequence[str],
        *,
        added_packed: Packed = MappingProxyType({}),
    ) -> BoundNames:
        """How names in the metadata are mapped; arguments and errors as of `bind`."""
        rules = self.lookup_rules_of(profile.version)
        return bind_names(rules, profile, architectures, added_packed=added_packed)

    def bind(
        self,
        profile: RuntimeProfile,
        architectures: Sequence[str],
        entries: Mapping[str, str],
        excludes: Sequence[str],
        *,
        quant_algo: str = MIXED,
        added_packed: Packed = MappingProxyType({}),
        mappers: tuple[ConfigMapper, ...] | None = None,
    ) -> BoundMetadata:
        """The metadata as the model classes of a release store it, ready for lookups.

        Args:
            profile: the release.
            architectures: the outer model class, then the inner ones that it builds.
            entries: name -> quant_algo, in the order of quantized_layers; empty without any.
            excludes: the exclude patterns, in order.
            quant_algo: that of the metadata as a whole, upper case.
            added_packed: what the classes add to their packed tables while they are built.
            mappers: what is applied to the names, where that is known; None: the classes' own.

        Raises:
            CkptfixError: the release does not register the outer architecture.
        """
        rules = self.lookup_rules_of(profile.version)
        exclusion = partial(self.exclusion, profile.version, quant_algo)
        return bind(
            rules,
            exclusion,
            profile,
            architectures,
            entries,
            excludes,
            added_packed=added_packed,
            mappers=mappers,
        )
