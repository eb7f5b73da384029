"""The metadata as statements, each with its file and JSON pointer."""

from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Literal

from msgspec import Struct

from ckptfix.jsontext.text import JsonText, Path, pointer
from ckptfix.names import is_regex
from ckptfix.place import Place

CONFIG_FILE: Final = "config.json"
PARAMS_FILE: Final = "params.json"
"""In place of config.json in Mistral's own format."""
CONFIG_ROOT: Final = ("quantization_config",)
COMPRESSION: Final = ("compression_config",)
"""Where compressed-tensors wrote before 0.6, wrapped or not."""
MIXED: Final = "MIXED_PRECISION"
INPUTS: Final = "input_activations"
"""quant_algo of a file with an entry per module."""

StatementKind = Literal["entry", "exclude", "target"]


TEXT_CONFIGS: Final = (
    ("thinker_config", "text_config"),
    ("thinker_config",),
    ("llm_config",),
    ("language_config",),
    ("text_config",),
)
"""Where config.json may have the config of a language model, in the order in which SGLang looks
(sglang 0.5.23 sglang/srt/utils/hf_transformers/common.py, `get_hf_text_config`)."""


def config_root(config: Mapping[str, Any]) -> Path | None:
    """Path of the quantization object in config.json; None if there is none.

    In the order in which vLLM and SGLang look; null is the same as absent. Which of these places a
    release reads is in `runtimes/<runtime>/reading.py`. Sources: vllm 0.33.0
    vllm/transformers_utils/model_arch_config_convertor.py, sglang 0.5.23
    sglang/srt/utils/hf_transformers/config.py, sglang/srt/model_loader/checkpoint_quantization.py.
    """
    for key in (CONFIG_ROOT[0], COMPRESSION[0]):
        for at in ((), *TEXT_CONFIGS):
            if find_at(config, (*at, key)) is not None:
                return (*at, key)
    return None


def config_in(documents: Mapping[str, JsonText]) -> JsonText | None:
    """The file that has the config of a model, and so declares how it is quantized.

    params.json is among the documents of a checkpoint in Mistral's own format only. There, what it
    does not declare is taken from config.json (vllm 0.33.0,
    vllm/transformers_utils/configs/mistral.py `adapt_config_dict`).
    """
    own, config = documents.get(PARAMS_FILE), documents.get(CONFIG_FILE)
    if own is None or (config is not None and quantization_root(own) is None):
        return config
    return own


def quantization_root(document: JsonText) -> Path | None:
    """Path of the quantization object in config.json or params.json; None if there is none."""
    if document.file != PARAMS_FILE:
        return config_root(document.value)
    # The first one decides (vllm 0.33.0 and sglang 0.5.23, `_remap_mistral_quantization_args`).
    return next((path for path in _OWN_ROOTS if document.value.get(path[0])), None)


_OWN_ROOTS: Final = (("quantization",), CONFIG_ROOT)


def value_at(value: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401 - JSON
    """The value at a path of objects that is known to exist."""
    found: Any = value
    for key in path:
        found = found[key]
    return found


def find_at(value: object, path: Iterable[str | int]) -> Any:  # noqa: ANN401 - JSON
    """The value at a path of objects; None where something on the way is missing or no object."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def is_weight_only(groups: object) -> bool:
    """True for ModelOpt's config_groups none of which has input_activations.

    vLLM 0.29.0 and later reads NVFP4 as W4A16_NVFP4 then (vllm 0.33.0,
    vllm/model_executor/layers/quantization/modelopt.py, `from_config`).
    """
    return (
        isinstance(groups, dict)
        and bool(groups)
        and all(isinstance(g, dict) and g.get(INPUTS) is None for g in groups.values())
    )


def named_quantizer(value: object) -> str | None:
    """The quantizer that a quantization object names; None if it names none."""
    if not isinstance(value, dict):
        return None
    named = (value.get("quant_method"), value.get("quant_library"))
    found = next((name for name in named if isinstance(name, str) and name), None)
    # Mistral's own FP8, which both runtimes read as that of transformers.
    return "fp8" if found is None and OWN_FP8 in value else found


OWN_FP8: Final = "qformat_weight"
"""Key of params.json with the format of quantized weights."""


class Statement(Struct, frozen=True):
    """One place where metadata names a module or a pattern over modules."""

    kind: StatementKind
    """entry: a name with its own scheme; exclude: a pattern over modules that are not quantized;
    target: a name, or the name of a class, in a list for which one scheme is declared elsewhere."""
    name: str
    file: str
    path: Path
    quant_algo: str | None = None
    """The scheme, by the name of its row in the table of stored formats. None in an entry: the
    module is not quantized; in a target: the file declares the scheme elsewhere."""
    group_size: int | None = None
    """Input columns per scale, if the scheme has groups and the file declares their size."""
    symmetric: bool | None = None
    """Whether zero is the middle of the codes, if the file declares it and the scheme leaves it
    open."""
    activation_order: bool | None = None
    """Whether input columns were quantized in a different order than they are stored in."""

    @property
    def place(self) -> Place:
        """File and JSON pointer."""
        return Place(self.file, pointer(self.path))

    @property
    def key(self) -> str:
        """The field that holds it: `quantized_layers`, `ignore`, `exclude_modules`, `targets`."""
        last = self.path[-1]
        if isinstance(last, str) and last != self.name:
            return last  # one string holds all names
        return next(str(p) for p in reversed(self.path[:-1]) if isinstance(p, str))


class Fault(Struct, frozen=True):
    """A field whose JSON type is not the one that the quantizer writes; read as if absent."""

    place: Place
    expected: str
    """The type that the quantizer writes."""


class MetadataFile(Struct, frozen=True, kw_only=True, dict=True):
    """The metadata of one file."""

    file: str
    root: Path
    """Path of the quantization object inside the file."""
    quantizer: str
    """For people: `ModelOpt`."""
    quant_algo: str | None = None
    """For the whole checkpoint; `MIXED_PRECISION` if entries decide for each module."""
    group_size: int | None = None
    symmetric: bool | None = None
    """As in `Statement`, for modules that no statement decides."""
    activation_order: bool | None = None
    kv_cache_quant_algo: str | None = None
    producer: str = ""
    """Name and version of the exporter; empty if not declared."""
    statements: tuple[Statement, ...] = ()
    faults: tuple[Fault, ...] = ()
    algo_path: Path
    """The field that declares `quant_algo`."""
    entries_path: Path
    """The object whose keys are entries, whether it exists or not."""
    exclude_list: Path
    """The list of exclude patterns that the file has, or would have."""
    is_read: bool = True
    """False where only the name of the quantizer is known."""
    takes_regexes: bool = False
    """Names that begin with `re:` are regular expressions in this dialect."""
    idle_lists: frozenset[Path] = frozenset()
    """Lists of exclude patterns that no release reads, because of what else the file has."""

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """A value computed once from the statements, under the caller's key."""
        return {}

    def of_kind(self, kind: StatementKind) -> tuple[Statement, ...]:
        """The statements of one kind, in the order of the file."""
        return self._by_kind[kind]

    @cached_property
    def _by_kind(self) -> dict[StatementKind, tuple[Statement, ...]]:
        kinds: tuple[StatementKind, ...] = ("entry", "exclude", "target")
        return {kind: tuple(s for s in self.statements if s.kind == kind) for kind in kinds}

    @cached_property
    def excludes(self) -> tuple[Statement, ...]:
        """The exclude patterns that some release applies to modules."""
        return tuple(filter(self.excludes_by, self.of_kind("exclude")))

    def excludes_by(self, statement: Statement) -> bool:
        """True for an exclude pattern that some release applies to modules.

        What is a regular expression in another dialect is a name that no module has.
        """
        return (
            statement.kind == "exclude"
            and statement.path[:-1] not in self.idle_lists
            and (self.takes_regexes or not is_regex(statement.name))
        )

    @cached_property
    def schemes(self) -> tuple[Statement, ...]:
        """The entries and targets that declare a scheme for what they name."""
        return tuple(s for s in self.statements if s.kind != "exclude" and s.quant_algo is not None)

    @property
    def is_mixed(self) -> bool:
        """True when entries name each quantized module."""
        return (self.quant_algo or "").upper() == MIXED

    @property
    def entries_field(self) -> str:
        """The name of the object whose keys are entries: `quantized_layers`."""
        return str(self.entries_path[-1])

    @property
    def place(self) -> Place:
        """The quantization object."""
        return Place(self.file, pointer(self.root))
