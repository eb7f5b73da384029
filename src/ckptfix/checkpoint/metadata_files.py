"""The metadata dialects -> statements, each with the file and JSON pointer where it stands.

Three files speak (nvidia-modelopt 0.23.0 to 0.47.0, see `docs/formats.md`):
`config.json` under `quantization_config`, `hf_quant_config.json` under `quantization`, and the
`quant_cfg.json` of ModelOpt 0.23 and 0.25.
"""

from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType
from typing import Any

from ckptfix.checkpoint.metadata import (
    CONFIG_FILE,
    CONFIG_ROOT,
    HF_QUANT_FILE,
    NESTED,
    QUANT_CFG_FILE,
    Fault,
    MetadataFile,
    Statement,
    StatementKind,
)
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.text import visible

LeftOut = Mapping[tuple[str, Path], Set[str]]
"""(file, path of quantized_layers or of a list) -> names in it that are not to be read."""


def config_root(config: Mapping[str, Any]) -> Path | None:
    """Where config.json holds its quantization object; None where it holds none.

    In the order in which vLLM and SGLang look (vllm 0.33.0
    vllm/transformers_utils/model_arch_config_convertor.py, sglang 0.5.23
    sglang/srt/model_loader/checkpoint_quantization.py); null is the same as absent.
    """
    if config.get(CONFIG_ROOT[0]) is not None:
        return CONFIG_ROOT
    text = config.get("text_config")
    if isinstance(text, dict) and text.get(CONFIG_ROOT[0]) is not None:
        return ("text_config", *CONFIG_ROOT)
    return ("compression_config",) if config.get("compression_config") is not None else None


def parse_metadata(
    documents: Mapping[str, JsonText], left_out: LeftOut = MappingProxyType({})
) -> tuple[MetadataFile, ...]:
    """Read whichever of the three files are there.

    A field with a type that ModelOpt does not write counts as absent and is among the faults: what
    it does in a runtime differs by release. A `quantization_config` in another quantizer's dialect
    is left out when ModelOpt's own file is next to it: published exports of DeepSeek V4 keep the
    `fp8` of the model they came from.

    Raises:
        CkptfixError: the checkpoint is quantized by something that is not ModelOpt.
    """
    found = []
    if CONFIG_FILE in documents:
        document = documents[CONFIG_FILE]
        if (root := config_root(document.value)) is not None:
            reader = _reader(document, root, left_out)
            if _is_modelopt(reader):
                found.append(_parse_config(reader))
            elif HF_QUANT_FILE not in documents:
                raise _not_modelopt(reader)
    if HF_QUANT_FILE in documents:
        found.append(_parse_hf_quant(documents[HF_QUANT_FILE], left_out))
    if QUANT_CFG_FILE in documents:
        found.append(_parse_quant_cfg(documents[QUANT_CFG_FILE], left_out))
    return tuple(found)


def _reader(document: JsonText, root: Path, left_out: LeftOut) -> "_Reader":
    value: Any = document.value
    for key in root:
        value = value[key]
    return _Reader(document, root, value, left_out, [])


class _Reader:
    """Typed access to one JSON object; what has another type counts as absent."""

    def __init__(
        self, document: JsonText, path: Path, value: object, left_out: LeftOut, faults: list[Fault]
    ) -> None:
        self.document, self.path, self.left_out, self.faults = document, path, left_out, faults
        if not isinstance(value, dict):
            self.wrong((), "an object")
        self.value: dict[str, Any] = value if isinstance(value, dict) else {}

    def wrong(self, below: Path, expected: str) -> None:
        place = self.document.place((*self.path, *below))
        self.faults.append(Fault(place, expected))

    def text(self, key: str) -> str | None:
        value = self.value.get(key)
        if value is None or isinstance(value, str):
            return value
        self.wrong((key,), "a string or null")
        return None

    def number(self, key: str) -> int | None:
        value = self.value.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.wrong((key,), "a whole number or null")
        return None

    def child(self, key: str) -> "_Reader | None":
        value = self.value.get(key)
        return None if value is None else self.below(key, value)

    def below(self, key: str, value: object) -> "_Reader":
        return _Reader(self.document, (*self.path, key), value, self.left_out, self.faults)

    def unread(self, path: Path) -> Set[str]:
        return self.left_out.get((self.document.file, path), frozenset())

    def names(self, key: str, kind: StatementKind) -> list[Statement]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong((key,), "a list of strings")
            return []
        made = []
        unread = self.unread((*self.path, key))
        for index, name in enumerate(value):
            if not isinstance(name, str):
                self.wrong((key, index), "a string")
            elif name not in unread:
                made.append(Statement(kind, name, self.document.file, (*self.path, key, index)))
        return made

    def entries(self, key: str) -> list[Statement]:
        layers = self.child(key)
        if layers is None:
            return []
        made = []
        unread = self.unread(layers.path)
        for name in layers.value:
            if name in unread:
                continue
            layer = layers.below(name, layers.value[name])
            made.append(
                Statement(
                    "entry",
                    name,
                    self.document.file,
                    layer.path,
                    layer.text("quant_algo"),
                    layer.number("group_size"),
                )
            )
        return made

    def producer(self) -> str:
        producer = self.value.get("producer")
        if not isinstance(producer, dict):
            return ""
        words = (producer.get("name"), producer.get("version"))
        return " ".join(visible(word) for word in words if isinstance(word, str))


def _parse_config(outer: _Reader) -> MetadataFile:
    # What hf_quant_config.json wraps may be wrapped here too; the outer object then has the rest.
    reader = (outer.child(NESTED) or outer) if NESTED in outer.value else outer
    groups = reader.child("config_groups")
    scheme = reader.value.get("kv_cache_scheme")
    statements = [
        *reader.entries("quantized_layers"),
        *reader.names("ignore", "exclude"),
        *reader.names("exclude_modules", "exclude"),
        *_targets(groups),
    ]
    return MetadataFile(
        reader.document.file,
        reader.path,
        reader.text("quant_algo"),
        reader.number("group_size") or _only_group_size(groups),
        _kv_algo(reader, scheme) or reader.text("kv_cache_quant_algo"),
        outer.producer(),
        tuple(statements),
        outer.text("quant_method"),
        tuple(outer.faults),
    )


def _targets(groups: _Reader | None) -> Iterator[Statement]:
    for name in groups.value if groups else ():
        group = groups.child(name) if groups else None
        if group is not None:
            yield from group.names("targets", "target")


def _quant_method(reader: _Reader) -> str:
    # ModelOpt 0.31 wrote no quant_method, 0.33 `quant_library`; vLLM's own names start alike.
    return reader.text("quant_method") or reader.text("quant_library") or "modelopt"


def _is_modelopt(reader: _Reader) -> bool:
    return _quant_method(reader).lower().startswith("modelopt")


def _not_modelopt(reader: _Reader) -> CkptfixError:
    method = visible(_quant_method(reader))
    return CkptfixError(
        f"quant_method is {method!r}; ckptfix reads checkpoints quantized by ModelOpt",
        place=reader.document.place((*reader.path, "quant_method")),
    )


def _only_group_size(groups: _Reader | None) -> int | None:
    sizes = set()
    for group in groups.value.values() if groups else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        size = weights.get("group_size") if isinstance(weights, dict) else None
        sizes.add(size if isinstance(size, int) else None)
    return sizes.pop() if len(sizes) == 1 else None


def _kv_algo(reader: _Reader, scheme: object) -> str | None:
    """`kv_cache_scheme` is a dict for FP8 since 0.35, a bare string otherwise."""
    if scheme is None or isinstance(scheme, str):
        return scheme
    if isinstance(scheme, dict):
        bits, kind = scheme.get("num_bits"), scheme.get("type")
        known = {(8, "float"): "FP8", (4, "float"): "NVFP4"}
        return next((a for k, a in known.items() if k == (bits, kind)), f"{bits}-bit {kind}")
    reader.wrong(("kv_cache_scheme",), "an object, a string or null")
    return None


def _parse_hf_quant(document: JsonText, left_out: LeftOut) -> MetadataFile:
    top = _reader(document, (), left_out)
    if NESTED not in top.value:
        # Flat, as config.json has it: SGLang since 0.5.20 and the MIXED_PRECISION of vLLM read it.
        return _parse_config(top)
    reader = top.child(NESTED) or top
    statements = reader.entries("quantized_layers") + reader.names("exclude_modules", "exclude")
    return MetadataFile(
        document.file,
        reader.path,
        reader.text("quant_algo"),
        reader.number("group_size"),
        reader.text("kv_cache_quant_algo"),
        top.producer(),
        tuple(statements),
        faults=tuple(top.faults),
    )


def _parse_quant_cfg(document: JsonText, left_out: LeftOut) -> MetadataFile:
    reader = _reader(document, (), left_out)
    return MetadataFile(
        document.file,
        (),
        reader.text("quant_algo"),
        None,
        reader.text("kv_cache_quant_algo"),
        "",
        tuple(reader.entries("quantized_layers") + reader.names("exclude_modules", "exclude")),
        faults=tuple(reader.faults),
    )
