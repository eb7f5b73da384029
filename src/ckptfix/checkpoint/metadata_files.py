"""The metadata dialects -> statements, each with the file and JSON pointer where it stands.

Three files speak (nvidia-modelopt 0.23.0 to 0.47.0, see `docs/formats.md`):
`config.json` under `quantization_config`, `hf_quant_config.json` under `quantization`, and the
`quant_cfg.json` of ModelOpt 0.23 and 0.25.
"""

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

from ckptfix.checkpoint.metadata import (
    CONFIG_FILE,
    CONFIG_ROOT,
    HF_QUANT_FILE,
    QUANT_CFG_FILE,
    MetadataFile,
    Statement,
    StatementKind,
)
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.place import Place
from ckptfix.text import visible

LeftOut = Mapping[tuple[str, Path], Set[str]]
"""(file, path of quantized_layers or of a list) -> names in it that are not to be read."""


def parse_metadata(
    documents: Mapping[str, JsonText], left_out: LeftOut = MappingProxyType({})
) -> tuple[MetadataFile, ...]:
    """Read whichever of the three files are there.

    A `quantization_config` in another quantizer's dialect is left out when ModelOpt's own file
    stands beside it: published exports of DeepSeek V4 keep the `fp8` of the model they came from.

    Raises:
        CkptfixError: a field has the wrong JSON type, or the checkpoint is quantized by
            something that is not ModelOpt.
    """
    found = []
    if CONFIG_FILE in documents:
        document = documents[CONFIG_FILE]
        if document.value.get("quantization_config") is not None:
            value = document.value["quantization_config"]
            reader = _Reader(document, CONFIG_ROOT, value, left_out)
            if _is_modelopt(reader):
                found.append(_parse_config(reader))
            elif HF_QUANT_FILE not in documents:
                raise _not_modelopt(reader)
    if HF_QUANT_FILE in documents:
        found.append(_parse_hf_quant(documents[HF_QUANT_FILE], left_out))
    if QUANT_CFG_FILE in documents:
        found.append(_parse_quant_cfg(documents[QUANT_CFG_FILE], left_out))
    return tuple(found)


class _Reader:
    """Typed access to one JSON object, with the pointer in every complaint."""

    def __init__(self, document: JsonText, path: Path, value: object, left_out: LeftOut) -> None:
        self.document, self.path, self.left_out = document, path, left_out
        if not isinstance(value, dict):
            raise self.wrong((), "an object")
        self.value: dict[str, Any] = value

    def wrong(self, below: Path, expected: str) -> CkptfixError:
        return CkptfixError(f"expected {expected}", place=self.document.place((*self.path, *below)))

    def text(self, key: str) -> str | None:
        value = self.value.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong((key,), "a string or null")
        return value

    def number(self, key: str) -> int | None:
        value = self.value.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.wrong((key,), "a whole number or null")
        return value

    def child(self, key: str) -> "_Reader | None":
        value = self.value.get(key)
        return None if value is None else self.below(key, value)

    def below(self, key: str, value: object) -> "_Reader":
        return _Reader(self.document, (*self.path, key), value, self.left_out)

    def unread(self, path: Path) -> Set[str]:
        return self.left_out.get((self.document.file, path), frozenset())

    def names(self, key: str, kind: StatementKind) -> list[Statement]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong((key,), "a list of strings")
        made = []
        unread = self.unread((*self.path, key))
        for index, name in enumerate(value):
            if not isinstance(name, str):
                raise self.wrong((key, index), "a string")
            if name in unread:
                continue
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


def _parse_config(reader: _Reader) -> MetadataFile:
    statements = reader.entries("quantized_layers") + reader.names("ignore", "exclude")
    statements += reader.names("exclude_modules", "exclude")
    groups = reader.child("config_groups")
    for name in groups.value if groups else ():
        group = groups.child(name) if groups else None
        if group is not None:
            statements += group.names("targets", "target")
    scheme = reader.value.get("kv_cache_scheme")
    return MetadataFile(
        reader.document.file,
        reader.path,
        reader.text("quant_algo"),
        reader.number("group_size") or _only_group_size(groups),
        _kv_algo(reader, scheme),
        reader.producer(),
        tuple(statements),
        reader.text("quant_method"),
    )


def _quant_method(reader: _Reader) -> str:
    # ModelOpt 0.31 wrote no quant_method, 0.33 `quant_library`; vLLM's own names start alike.
    return reader.text("quant_method") or reader.text("quant_library") or "modelopt"


def _is_modelopt(reader: _Reader) -> bool:
    return _quant_method(reader).startswith("modelopt")


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
    raise reader.wrong(("kv_cache_scheme",), "an object, a string or null")


def _parse_hf_quant(document: JsonText, left_out: LeftOut) -> MetadataFile:
    top = _Reader(document, (), document.value, left_out)
    reader = top.child("quantization")
    if reader is None:
        raise CkptfixError(
            "has no quantization object",
            place=Place(document.file, "/quantization"),
            advice="export it again with ModelOpt or remove the file",
        )
    statements = reader.entries("quantized_layers") + reader.names("exclude_modules", "exclude")
    return MetadataFile(
        document.file,
        reader.path,
        reader.text("quant_algo"),
        reader.number("group_size"),
        reader.text("kv_cache_quant_algo"),
        top.producer(),
        tuple(statements),
    )


def _parse_quant_cfg(document: JsonText, left_out: LeftOut) -> MetadataFile:
    reader = _Reader(document, (), document.value, left_out)
    return MetadataFile(
        document.file,
        (),
        reader.text("quant_algo"),
        None,
        reader.text("kv_cache_quant_algo"),
        "",
        tuple(reader.entries("quantized_layers") + reader.names("exclude_modules", "exclude")),
    )
