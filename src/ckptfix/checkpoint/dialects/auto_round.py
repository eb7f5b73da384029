"""AutoRound in its own format; its other exports are in the dialects of GPTQ, AWQ and so on.

Source: auto-round 0.16.1 and its exports. A key of `extra_config` is the name of a module, or an
expression that is searched for; the blocks are prefixes of names, in one string.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import (
    Claim,
    Dialect,
    Documents,
    NameList,
    OwnFile,
    Reading,
    Speller,
    SpellingTask,
)
from ckptfix.checkpoint.dialects.reading import Listed, counted, flag, is_found, positive
from ckptfix.checkpoint.dialects.sections import claim_by, names_under, sections_of
from ckptfix.checkpoint.dialects.spelling import quantized, set_members
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement

_METHODS: Final = frozenset({"auto-round", "intel/auto-round"})
_FILES: Final = ("quantization_config.json",)
_ENTRIES: Final = "extra_config"
_BLOCKS: Final = "block_name_to_quantize"
_EXPRESSION: Final = re.compile(r"[*+?^$()\[\]{}|\\]")


def _scheme(value: Mapping[str, Any]) -> str | None:
    """The row of the table of stored formats; None for unquantized or unknown schemes."""
    bits, packing = value.get("bits"), str(value.get("packing_format", ""))
    if not isinstance(bits, int) or bits >= 16:
        return None
    if "fp8_static" in packing:
        return "FP8_CHANNEL"
    if packing.endswith("fp8"):
        return "FP8_BLOCK_INV"
    if "llm_compressor" in packing:
        if str(value.get("data_type", "")).startswith("nv"):
            return "NVFP4_PACKED"
        return "MXFP4_PACKED" if bits == 4 else "MXFP8"
    return "AWQ_INT4" if "awq" in packing else f"GPTQ_INT{bits}"


def _statements(fields: Fields) -> Iterator[Statement]:
    file = fields.document.file
    for entry in fields.members(_ENTRIES):
        whole = {**fields.value, **entry.value}
        algo, size = _scheme(whole), positive(whole.get("group_size"))
        name = str(entry.path[-1])
        yield Statement("entry", name, file, entry.path, algo, size, flag(whole.get("sym")))
    path = (*fields.path, _BLOCKS)
    blocks = fields.value.get(_BLOCKS)
    listed = blocks.split(",") if isinstance(blocks, str) else blocks
    for block in listed if isinstance(listed, list) else ():
        if isinstance(block, str) and block:
            yield Statement("target", block, file, path)


def _is_expression(statement: Statement) -> bool:
    return statement.kind == "entry" and _EXPRESSION.search(statement.name) is not None


def _matches(statement: Statement, module: str) -> bool:
    if statement.kind == "target":
        return module.startswith(statement.name)
    is_one = _is_expression(statement) and is_found(statement.name, module)
    return is_one or statement.name == module


def _is_name(statement: Statement) -> bool:
    return not _is_expression(statement)


def _decides(metadata: MetadataFile, module: str) -> Statement | MetadataFile | None:
    entries = Listed.of(metadata, "entry", _matches, _is_name)
    entry = entries.exact(module) or entries.other(module)
    if entry is not None:
        return entry if entry.quant_algo else None
    blocks = counted(metadata.of_kind("target"))
    if blocks and not any(module.startswith(block.name) for block in blocks):
        return None
    return metadata


_BITS: Final = re.compile(r"_INT(\d)\Z")


def _spell(changes: Changes, task: SpellingTask) -> None:
    """An entry for each module; settings that it omits are those of the file."""
    entries: dict[str, object] = {}
    for each in task.wanted:
        if each.layer is None:
            entries |= {name: {"bits": 16} for name in each.names}
    for each, algo, size in quantized(task.wanted):
        found = _BITS.search(algo)
        bits = int(found[1]) if found else task.value.get("bits")
        entry = {"bits": bits, **({} if size is None else {"group_size": size})}
        if found or algo == task.metadata.quant_algo:
            entries |= dict.fromkeys(each.names, entry)
    set_members(changes, task.metadata.entries_path, task.value.get(_ENTRIES), entries)


class _AutoRound:
    quantizer = "AutoRound"
    own_files = (OwnFile(_FILES[0]),)
    name_fields = (_ENTRIES, _BLOCKS)
    roles = ()
    writer = None
    speller = Speller(_spell)
    reading = Reading(_decides, _matches, _is_expression, alternatives=frozenset({_BLOCKS}))

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS, _FILES)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS, _FILES):
            yield from names_under(fields, _ENTRIES, as_keys=True)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, sections_of(documents, _METHODS, _FILES)))

    def _read(self, fields: Fields) -> MetadataFile:
        statements = tuple(_statements(fields))
        version = fields.text("autoround_version")
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo=_scheme(fields.value),
            group_size=positive(fields.value.get("group_size")),
            symmetric=flag(fields.value.get("sym")),
            producer=f"auto-round {version}" if version else "auto-round",
            statements=statements,
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "bits"),
            entries_path=(*fields.path, _ENTRIES),
            exclude_list=(*fields.path, _ENTRIES),
            takes_regexes=True,
        )


DIALECT: Final[Dialect] = _AutoRound()
