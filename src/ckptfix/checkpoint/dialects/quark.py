"""AMD Quark.

Source: amd-quark 0.13 and its exports. Globs of `exclude` are resolved to names on export, those
of `layer_quant_config` are kept; a weight that is quantized in two steps has a list of them.
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
    Speller,
    SpellingTask,
)
from ckptfix.checkpoint.dialects.reading import (
    REGEX_MARK,
    Listed,
    fits_glob,
    flag,
    matches,
    positive,
)
from ckptfix.checkpoint.dialects.sections import claim_by, names_under, sections_of
from ckptfix.checkpoint.dialects.spelling import leave_out, like, quantized, set_members
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement

_METHODS: Final = frozenset({"quark"})
_EXCLUDE: Final = "exclude"
_SPECIAL: Final = frozenset("*?[")
"""Characters of shell patterns."""
_LAYERS: Final = "layer_quant_config"
_GLOBAL: Final = "global_quant_config"
_FP8: Final = {"per_tensor": "FP8_TENSOR", "per_channel": "FP8_CHANNEL", "per_block": "FP8_BLOCK"}
_INT8: Final = {"per_tensor": "INT8_TENSOR", "per_channel": "INT8_CHANNEL"}


def _weight(config: object) -> Mapping[str, Any]:
    """How the weight is quantized; of two steps the first."""
    found = config.get("weight") if isinstance(config, dict) else None
    first = found[0] if isinstance(found, list) and found else found
    return first if isinstance(first, dict) else {}


def _scheme(weight: Mapping[str, Any]) -> str | None:
    dtype, qscheme = weight.get("dtype"), str(weight.get("qscheme"))
    match dtype:
        case "fp8_e4m3":
            return _FP8.get(qscheme)
        case "int8" | "uint8":
            return _INT8.get(qscheme)
        case "int4" | "uint4":
            return "QUARK_INT4"
        case "fp4":
            return "mxfp4"
    return None


def _statements(fields: Fields) -> Iterator[Statement]:
    yield from fields.name_list("exclude", _EXCLUDE)
    for layer in fields.members(_LAYERS):
        weight, path = _weight(layer.value), layer.path
        size, symmetric = positive(weight.get("group_size")), flag(weight.get("symmetric"))
        file, name = fields.document.file, str(path[-1])
        yield Statement("entry", name, file, path, _scheme(weight), size, symmetric)


def _is_expression(statement: Statement) -> bool:
    return "*" in statement.name or statement.name.startswith(REGEX_MARK)


def _matches(statement: Statement, module: str) -> bool:
    name = statement.name
    if statement.kind == "entry":
        return fits_glob(name, module)
    if name.startswith(REGEX_MARK):
        return matches(name.removeprefix(REGEX_MARK), module)
    return name == module or ("*" in name and fits_glob(name, module))


def _is_name(statement: Statement) -> bool:
    """True for one that matches the module of its name and no other."""
    return not statement.name.startswith(REGEX_MARK) and _SPECIAL.isdisjoint(statement.name)


def _decides(metadata: MetadataFile, module: str) -> Statement | MetadataFile | None:
    if Listed.of(metadata, "exclude", _matches, _is_name).first(module):
        return None
    found = Listed.of(metadata, "entry", _matches, _is_name).first(module)
    if found is not None:
        return found if found.quant_algo else None
    return metadata


def _spell(changes: Changes, task: SpellingTask) -> None:
    """Unquantized modules are excluded, others get the config of one stored the same way."""
    metadata = task.metadata
    leave_out(changes, metadata.exclude_list, task.value.get(_EXCLUDE), task.wanted)
    layers = task.value.get(_LAYERS)
    made: dict[str, object] = {}
    for each, algo, size in quantized(task.wanted):
        same = like(metadata.of_kind("entry"), algo, size)
        if same is not None and isinstance(layers, dict):
            made |= dict.fromkeys(each.names, layers[same.name])
        elif algo == metadata.quant_algo:
            made |= dict.fromkeys(each.names, task.value.get(_GLOBAL))
    set_members(changes, metadata.entries_path, layers, made)


class _Quark:
    quantizer = "Quark"
    own_files = ()
    name_fields = (_EXCLUDE, _LAYERS)
    roles = ()
    writer = None
    speller = Speller(_spell)
    reading = Reading(_decides, _matches, _is_expression)

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS):
            yield from names_under(fields, _EXCLUDE)
            yield from names_under(fields, _LAYERS, as_keys=True)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, sections_of(documents, _METHODS)))

    def _read(self, fields: Fields) -> MetadataFile:
        weight, version = _weight(fields.value.get(_GLOBAL)), fields.text("version")
        statements = tuple(_statements(fields))
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo=_scheme(weight),
            group_size=positive(weight.get("group_size")),
            symmetric=flag(weight.get("symmetric")),
            kv_cache_quant_algo="FP8" if fields.value.get("kv_cache_quant_config") else None,
            producer=f"amd-quark {version}" if version else "amd-quark",
            statements=statements,
            faults=tuple(fields.faults),
            algo_path=(*fields.path, _GLOBAL),
            entries_path=(*fields.path, _LAYERS),
            exclude_list=(*fields.path, _EXCLUDE),
            takes_regexes=True,
        )


DIALECT: Final[Dialect] = _Quark()
