"""GPTQ as written by GPTQModel, AutoGPTQ, optimum and AutoRound.

Sources: gptqmodel 7.7.0, auto-round 0.16.1 and their exports. A key of `dynamic` is a regular
expression, matched from the start of a name; the prefix `-:` leaves modules in float, `+:` and no
prefix override their settings.
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
from ckptfix.checkpoint.dialects.reading import counted, flag, matches, positive
from ckptfix.checkpoint.dialects.sections import claim_by, names_under, sections_of
from ckptfix.checkpoint.dialects.spelling import quantized, set_members
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement

_METHODS: Final = frozenset({"gptq"})
_FILES: Final = ("quantize_config.json",)
_DYNAMIC: Final = "dynamic"
_LISTED: Final = "modules_in_block_to_quantize"
_LEAVES: Final = "-:"


def _scheme(value: Mapping[str, Any]) -> str | None:
    bits = value.get("bits")
    return f"GPTQ_INT{bits}" if isinstance(bits, int) and 1 < bits < 16 else None


def _statements(fields: Fields) -> Iterator[Statement]:
    file = fields.document.file
    for rule in fields.members(_DYNAMIC):
        name = str(rule.path[-1])
        if name.startswith(_LEAVES):
            yield Statement("exclude", name, file, rule.path)
            continue
        whole = {**fields.value, **rule.value}
        yield Statement(
            "entry",
            name,
            file,
            rule.path,
            _scheme(whole),
            positive(whole.get("group_size")),
            flag(whole.get("sym")),
            flag(whole.get("desc_act")),
        )
    path = (*fields.path, _LISTED)
    listed = fields.value.get(_LISTED)
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        inner = item if isinstance(item, list) else [item]
        for at, name in enumerate(inner):
            if isinstance(name, str):
                below = (index, at) if isinstance(item, list) else (index,)
                yield Statement("target", name, file, (*path, *below))


def _expression(statement: Statement) -> str:
    name = statement.name
    return name[2:] if name[:2] in ("+:", _LEAVES) else name


def _is_expression(statement: Statement) -> bool:
    return statement.kind != "target"


def _matches(statement: Statement, module: str) -> bool:
    if statement.kind == "target":
        return statement.name in module
    return matches(_expression(statement), module)


def _decides(metadata: MetadataFile, module: str) -> Statement | MetadataFile | None:
    for rule in counted(metadata.statements):
        if rule.kind != "target" and _matches(rule, module):
            return rule if rule.kind == "entry" else None
    listed = counted(metadata.of_kind("target"))
    return metadata if not listed or any(_matches(t, module) for t in listed) else None


_BITS: Final = re.compile(r"GPTQ_INT(\d)\Z")


def _spell(changes: Changes, task: SpellingTask) -> None:
    """A rule for each name, anchored at both ends."""
    rules: dict[str, object] = {}
    for each in task.wanted:
        if each.layer is None:
            rules |= {f"{_LEAVES}{re.escape(name)}$": {} for name in each.names}
    for each, algo, size in quantized(task.wanted):
        if found := _BITS.match(algo):
            own = {"bits": int(found[1]), **({} if size is None else {"group_size": size})}
            rules |= {f"+:{re.escape(name)}$": own for name in each.names}
    set_members(changes, task.metadata.entries_path, task.value.get(_DYNAMIC), rules)


class _Gptq:
    quantizer = "GPTQ"
    own_files = (OwnFile(_FILES[0]),)
    name_fields = (_DYNAMIC, _LISTED)
    roles = ()
    writer = None
    speller = Speller(_spell)
    reading = Reading(_decides, _matches, _is_expression)

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS, _FILES)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS, _FILES):
            yield from names_under(fields, _DYNAMIC, as_keys=True)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, sections_of(documents, _METHODS, _FILES)))

    def _read(self, fields: Fields) -> MetadataFile:
        statements = tuple(_statements(fields))
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo=_scheme(fields.value),
            group_size=positive(fields.value.get("group_size")),
            symmetric=flag(fields.value.get("sym")),
            activation_order=flag(fields.value.get("desc_act")),
            producer=_producer(fields),
            statements=statements,
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "bits"),
            entries_path=(*fields.path, _DYNAMIC),
            exclude_list=(*fields.path, _DYNAMIC),
            takes_regexes=True,
        )


def _producer(fields: Fields) -> str:
    meta = fields.value.get("meta")
    made_by = meta.get("quantizer") if isinstance(meta, dict) else fields.value.get("provider")
    listed = made_by if isinstance(made_by, list) else [made_by]
    return ", ".join(each for each in listed if isinstance(each, str))


DIALECT: Final[Dialect] = _Gptq()
