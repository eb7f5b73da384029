"""ModelOpt's metadata -> statements, each with its file and JSON pointer.

Three files carry quantization metadata (nvidia-modelopt 0.23.0 to 0.47.0, see `docs/formats.md`):
`config.json` under `quantization_config`, `hf_quant_config.json` under `quantization`, and the
`quant_cfg.json` of ModelOpt 0.23 and 0.25.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Documents, NameList
from ckptfix.checkpoint.dialects.statements import (
    MetadataFile,
    Statement,
    StatementKind,
    config_in,
    named_quantizer,
    quantization_root,
    value_at,
)
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.text import visible

QUANTIZER: Final = "ModelOpt"
HF_QUANT_FILE: Final = "hf_quant_config.json"
QUANT_CFG_FILE: Final = "quant_cfg.json"
NESTED: Final = "quantization"
"""Key of the object that hf_quant_config.json, and some config.json, wrap the fields in."""
ENTRIES: Final = "quantized_layers"
GROUPS: Final = "config_groups"
TARGETS: Final = "targets"
FLAT_EXCLUDES: Final = "ignore"
WRAPPED_EXCLUDES: Final = "exclude_modules"


def claim(documents: Documents) -> Claim:
    """The quantizer that wrote these files.

    ModelOpt 0.31 wrote no quant_method, 0.33 `quant_library`; vLLM's own names start the same way.
    A `quantization_config` in another quantizer's dialect does not count where ModelOpt's own file
    is next to it: published exports of DeepSeek V4 keep the `fp8` of the model they came from.
    """
    if HF_QUANT_FILE in documents:
        return Claim.OVERRIDES
    method = _quant_method(config_in(documents))
    if method is None:
        return Claim.LIKELY
    return Claim.NAMED if method.startswith("modelopt") else Claim.NONE


def _quant_method(config: JsonText | None) -> str | None:
    """The name of the quantizer in lower case; None if no field names it."""
    root = quantization_root(config) if config is not None else None
    if config is None or root is None:
        return None
    named = named_quantizer(value_at(config.value, root))
    return named.lower() if named else None


class _Section(Struct, frozen=True):
    """One quantization object."""

    document: JsonText
    root: Path
    form: Literal["flat", "wrapped", "old"]
    """As config.json has it, as hf_quant_config.json has it, or as quant_cfg.json has it."""

    def fields(self) -> tuple[Fields, Fields]:
        """The whole object, and the one inside that has the fields, which is the same if flat."""
        outer = Fields.at(self.document, self.root)
        if self.form == "old" or NESTED not in outer.value:
            return outer, outer
        # What hf_quant_config.json wraps may be wrapped in config.json too.
        return outer, outer.child(NESTED) or outer


def _sections(documents: Documents) -> Iterator[_Section]:
    config = config_in(documents)
    if config is not None and (root := quantization_root(config)) is not None:
        method = _quant_method(config)
        if method is None or method.startswith("modelopt"):
            yield _Section(config, root, "flat")
    if (hf_quant := documents.get(HF_QUANT_FILE)) is not None:
        # Flat, as config.json has it: SGLang since 0.5.20 and the MIXED_PRECISION of vLLM read it.
        yield _Section(hf_quant, (), "wrapped" if NESTED in hf_quant.value else "flat")
    if (quant_cfg := documents.get(QUANT_CFG_FILE)) is not None:
        yield _Section(quant_cfg, (), "old")


class _Named(Struct, frozen=True):
    """A value that should name modules."""

    kind: StatementKind
    path: Path
    value: object
    expected: Literal["an object", "a list of strings"]

    @property
    def is_sound(self) -> bool:
        """True for the type that ModelOpt writes."""
        if self.expected == "an object":
            return isinstance(self.value, dict) and self.kind == "entry"
        return isinstance(self.value, list)


def _named(form: str, path: Path, value: Mapping[str, Any]) -> Iterator[_Named]:
    """Places where an object names modules, in the order in which ModelOpt's readers use them."""
    if value.get(ENTRIES) is not None:
        yield _Named("entry", (*path, ENTRIES), value[ENTRIES], "an object")
    for key in (FLAT_EXCLUDES, WRAPPED_EXCLUDES) if form == "flat" else (WRAPPED_EXCLUDES,):
        if value.get(key) is not None:
            yield _Named("exclude", (*path, key), value[key], "a list of strings")
    groups = value.get(GROUPS) if form == "flat" else None
    for name, group in groups.items() if isinstance(groups, dict) else ():
        at = (*path, GROUPS, name)
        if isinstance(group, dict) and group.get(TARGETS) is not None:
            yield _Named("target", (*at, TARGETS), group[TARGETS], "a list of strings")
        elif group is not None and not isinstance(group, dict):
            yield _Named("target", at, group, "an object")


def name_lists(documents: Documents) -> Iterator[NameList]:
    """Every place where `read` finds names."""
    for section in _sections(documents):
        _, inner = section.fields()
        for named in _named(section.form, inner.path, inner.value):
            if isinstance(named.value, dict | list) and named.is_sound:
                yield NameList(section.document.file, named.path, named.value)


def read(documents: Documents) -> tuple[MetadataFile, ...]:
    """Read the existing ones of the three files."""
    return tuple(_read(section) for section in _sections(documents))


def _read(section: _Section) -> MetadataFile:
    outer, inner = section.fields()
    is_flat, is_old = section.form == "flat", section.form == "old"
    if is_flat and not outer.text("quant_method"):
        outer.text("quant_library")
    groups = inner.child(GROUPS) if is_flat else None
    statements = tuple(_statements(section.form, inner))
    usual = WRAPPED_EXCLUDES if inner.path[-1:] == (NESTED,) else FLAT_EXCLUDES
    quant_algo = inner.text("quant_algo")
    idle = frozenset(_idle_lists(inner, quant_algo)) if is_flat else frozenset[Path]()
    lists = (s.path[:-1] for s in statements if s.kind == "exclude")
    group_size = None if is_old else inner.number("group_size")
    scheme = _kv_algo(inner, inner.value.get("kv_cache_scheme")) if is_flat else None
    kv_cache = scheme or inner.text("kv_cache_quant_algo")
    return MetadataFile(
        file=section.document.file,
        root=inner.path,
        quantizer=QUANTIZER,
        quant_algo=quant_algo,
        group_size=group_size or _only_group_size(groups) if groups else group_size,
        kv_cache_quant_algo=kv_cache,
        producer="" if is_old else _producer(outer),
        statements=statements,
        faults=tuple(outer.faults),
        algo_path=(*inner.path, "quant_algo"),
        entries_path=(*inner.path, ENTRIES),
        exclude_list=next((path for path in lists if path not in idle), (*inner.path, usual)),
        idle_lists=idle,
    )


def _idle_lists(inner: Fields, quant_algo: str | None) -> Iterator[Path]:
    """The list of exclude patterns that no release reads next to the other one.

    For MXFP8, SGLang prefers the list that vLLM does not read (vllm 0.33.0 and sglang 0.5.23,
    `from_config` of the config classes for ModelOpt; releases before them read `ignore` alone).
    """
    if (quant_algo or "").upper() == "MXFP8":
        return
    if inner.path[-1:] == (NESTED,):
        yield (*inner.path, FLAT_EXCLUDES)
    elif FLAT_EXCLUDES in inner.value:
        yield (*inner.path, WRAPPED_EXCLUDES)


def _statements(form: str, fields: Fields) -> Iterator[Statement]:
    for named in _named(form, fields.path, fields.value):
        if not named.is_sound:
            fields.wrong(named.path[len(fields.path) :], named.expected)
        elif isinstance(named.value, list):
            yield from fields.names(named.kind, named.path, named.value)
        else:
            yield from _entries(fields)


def _entries(fields: Fields) -> Iterator[Statement]:
    layers = fields.below(ENTRIES, fields.value[ENTRIES])
    for name, value in layers.value.items():
        layer = layers.below(name, value)
        algo, size = layer.text("quant_algo"), layer.number("group_size")
        yield Statement("entry", name, fields.document.file, layer.path, algo, size)


def _producer(fields: Fields) -> str:
    producer = fields.value.get("producer")
    if not isinstance(producer, dict):
        return ""
    words = (producer.get("name"), producer.get("version"))
    return " ".join(visible(word) for word in words if isinstance(word, str))


def _only_group_size(groups: Fields) -> int | None:
    sizes = set()
    for group in groups.value.values():
        weights = group.get("weights") if isinstance(group, dict) else None
        size = weights.get("group_size") if isinstance(weights, dict) else None
        sizes.add(size if isinstance(size, int) else None)
    return sizes.pop() if len(sizes) == 1 else None


def _kv_algo(fields: Fields, scheme: object) -> str | None:
    """`kv_cache_scheme` is a dict for FP8 since 0.35, a bare string otherwise."""
    if scheme is None or isinstance(scheme, str):
        return scheme
    if isinstance(scheme, dict):
        bits, kind = scheme.get("num_bits"), scheme.get("type")
        known = {(8, "float"): "FP8", (4, "float"): "NVFP4"}
        return next((a for k, a in known.items() if k == (bits, kind)), f"{bits}-bit {kind}")
    fields.wrong(("kv_cache_scheme",), "an object, a string or null")
    return None
