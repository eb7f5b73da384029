"""compressed-tensors as written by llm-compressor.

Sources: compressed-tensors 0.19.0 and llm-compressor 0.14.0.1, and their exports. A target is a
name, `re:` and a regular expression, or the class of modules; `ignore` is resolved to names on
export.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import (
    Claim,
    Dialect,
    Documents,
    NameList,
    Reading,
    Role,
    Speller,
    SpellingTask,
)
from ckptfix.checkpoint.dialects.reading import REGEX_MARK, Listed, matches
from ckptfix.checkpoint.dialects.sections import (
    claim_by,
    method_in_config,
    names_under,
    sections_of,
)
from ckptfix.checkpoint.dialects.spelling import leave_out, like, quantized
from ckptfix.checkpoint.dialects.statements import (
    COMPRESSION,
    CONFIG_FILE,
    CONFIG_ROOT,
    MIXED,
    MetadataFile,
    Statement,
    config_root,
    value_at,
)
from ckptfix.names import is_class_name

_METHODS: Final = frozenset({"compressed-tensors"})
_GROUPS: Final = "config_groups"
_IGNORE: Final = "ignore"
_TARGETS: Final = "targets"
_FLOAT: Final[Mapping[tuple[Any, Any], str]] = {
    (8, "tensor"): "FP8_TENSOR",
    (8, "channel"): "FP8_CHANNEL",
    (8, "block"): "FP8_BLOCK",
    (8, "group"): "MXFP8",
    (4, "tensor_group"): "NVFP4_PACKED",
    (4, "group"): "MXFP4_PACKED",
}
"""(bits, strategy) of float weights -> row."""
_INT: Final[Mapping[tuple[Any, Any], str]] = {
    (8, "tensor"): "INT8_TENSOR",
    (8, "channel"): "INT8_CHANNEL",
}
"""The same for unpacked integers."""


def scheme_of(weights: Mapping[str, Any], layout: object) -> str | None:
    """The row of the table of stored formats; None for a scheme that none describes.

    Args:
        weights: the quantization arguments of the weights.
        layout: the format of the group, or of the whole file where the group has none.
    """
    bits, strategy = weights.get("num_bits"), weights.get("strategy")
    if isinstance(bits, dict | list) or isinstance(strategy, dict | list):
        return None
    if weights.get("type") == "float":
        if bits == 4 and weights.get("group_size") == 16:
            return "NVFP4_PACKED"
        return _FLOAT.get((bits, strategy))
    if layout == "pack-quantized" and bits in (4, 8):
        return f"INT{bits}_PACKED"
    return "INT4_BYTES" if bits == 4 else _INT.get((bits, strategy))


def _old(documents: Documents) -> Fields | None:
    """The object under `compression_config`, which names no quantizer."""
    config = documents.get(CONFIG_FILE)
    if config is None or config_root(config.value) != COMPRESSION:
        return None
    if method_in_config(documents):
        return None
    outer = Fields.at(config, COMPRESSION)
    fields = outer.child("quantization_config") or outer
    return fields if _GROUPS in fields.value else None


def _sections(documents: Documents) -> Iterator[Fields]:
    old = _old(documents)
    if old is not None:
        yield old
    yield from sections_of(documents, _METHODS)


def _statements(fields: Fields) -> Iterator[Statement]:
    for group in fields.members(_GROUPS):
        weights = group.value.get("weights")
        arguments = weights if isinstance(weights, dict) else {}
        algo = scheme_of(arguments, group.value.get("format") or fields.value.get("format"))
        size, order = arguments.get("group_size"), arguments.get("actorder")
        symmetric = arguments.get("symmetric")
        for target in group.name_list("target", _TARGETS):
            yield Statement(
                "target",
                target.name,
                target.file,
                target.path,
                algo,
                size if isinstance(size, int) and size > 0 else None,
                symmetric if isinstance(symmetric, bool) else None,
                order in ("group", "dynamic", True),
            )
    yield from fields.name_list("exclude", _IGNORE)


def _is_expression(statement: Statement) -> bool:
    return statement.name.startswith(REGEX_MARK)


def _matches(statement: Statement, module: str) -> bool:
    name = statement.name
    if name.startswith(REGEX_MARK):
        return matches(name.removeprefix(REGEX_MARK), module)
    return name == module


def _decides(metadata: MetadataFile, module: str) -> Statement | None:
    if Listed.of(metadata, "exclude", _matches, _is_name).first(module):
        return None
    targets = Listed.of(metadata, "target", _declares, _declares_one)
    return targets.first(module) or _of_class(metadata)


def _is_name(statement: Statement) -> bool:
    return not _is_expression(statement)


def _declares_one(target: Statement) -> bool:
    return bool(target.quant_algo) and _is_name(target)


def _declares(target: Statement, module: str) -> bool:
    return bool(target.quant_algo) and _matches(target, module)


def _of_class(metadata: MetadataFile) -> Statement | None:
    """The tensors do not show the class of a module; almost all targets are Linear."""
    key = "of class"
    if key not in metadata.derived:
        targets = (s for s in metadata.of_kind("target") if s.quant_algo)
        metadata.derived[key] = next((s for s in targets if is_class_name(s.name)), None)
    found: Statement | None = metadata.derived[key]
    return found


def _spell(changes: Changes, task: SpellingTask) -> None:
    """Unquantized modules are ignored, others become targets of the group of their scheme."""
    leave_out(changes, task.metadata.exclude_list, task.value.get(_IGNORE), task.wanted)
    targets = task.metadata.of_kind("target")
    named = {(target.path[:-1], target.name) for target in targets if target not in task.dropped}
    for each, algo, size in quantized(task.wanted):
        home = like(targets, algo, size)
        if home is not None:
            path = home.path[:-1]
            names = [name for name in each.names if (path, name) not in named]
            named |= {(path, name) for name in names}
            changes.append(path, names)


def _move(documents: Documents) -> Changes | None:
    """The object under `compression_config` as releases since compressed-tensors 0.6 write it.

    vLLM and SGLang look there too, but for an object that names its quantizer and is not wrapped.
    """
    fields = _old(documents)
    if fields is None:
        return None
    outer = value_at(fields.document.value, COMPRESSION)
    sparsity = {key: outer[key] for key in ("sparsity_config",) if outer.get(key)}
    changes = Changes(removals={COMPRESSION})
    moved = {**sparsity, **fields.value, "quant_method": "compressed-tensors"}
    changes.set(CONFIG_ROOT, moved, statements=sum(1 for _ in _statements(fields)))
    return changes


def _kv_cache(fields: Fields) -> str | None:
    scheme = fields.value.get("kv_cache_scheme")
    if not isinstance(scheme, dict):
        return None
    bits, kind = scheme.get("num_bits"), scheme.get("type")
    return "FP8" if (bits, kind) == (8, "float") else f"{bits}-bit {kind}"


class _CompressedTensors:
    quantizer = "compressed-tensors"
    own_files = ()
    name_fields = (_TARGETS, _IGNORE)
    roles = (
        Role("weight_shape"),
        Role("weight_g_idx", optional=True),
    )
    writer = None
    speller = Speller(_spell, _move)
    reading = Reading(_decides, _matches, _is_expression)

    def claim(self, documents: Documents) -> Claim:
        return Claim.NAMED if _old(documents) else claim_by(documents, _METHODS)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in _sections(documents):
            for group in fields.members(_GROUPS):
                yield from names_under(group, _TARGETS)
            yield from names_under(fields, _IGNORE)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, _sections(documents)))

    def _read(self, fields: Fields) -> MetadataFile:
        statements = tuple(_statements(fields))
        targets = [s for s in statements if s.kind == "target"]
        algos = {s.quant_algo for s in targets if s.quant_algo}
        sizes = {s.group_size for s in targets}
        version = fields.text("version")
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo=algos.pop() if len(algos) == 1 else MIXED if algos else None,
            group_size=sizes.pop() if len(sizes) == 1 else None,
            kv_cache_quant_algo=_kv_cache(fields),
            producer=f"compressed-tensors {version}" if version else self.quantizer,
            statements=statements,
            faults=tuple(fields.faults),
            algo_path=(*fields.path, _GROUPS),
            entries_path=(*fields.path, _GROUPS),
            exclude_list=(*fields.path, _IGNORE),
            takes_regexes=True,
        )


DIALECT: Final[Dialect] = _CompressedTensors()
