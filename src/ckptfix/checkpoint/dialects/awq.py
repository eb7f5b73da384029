"""AWQ as written by AutoAWQ, GPTQModel and AutoRound.

Sources: autoawq 0.2.9, gptqmodel 7.7.0, auto-round 0.16.1 and the exports of the last two. A module
stays unquantized if its name contains an item of `modules_to_not_convert`.
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import (
    Claim,
    Dialect,
    Documents,
    NameList,
    OwnFile,
)
from ckptfix.checkpoint.dialects.reading import flag, positive, skip_list
from ckptfix.checkpoint.dialects.sections import claim_by, names_under, sections_of
from ckptfix.checkpoint.dialects.spelling import SKIP_LIST
from ckptfix.checkpoint.dialects.statements import MetadataFile

_METHODS: Final = frozenset({"awq"})
_FILES: Final = ("quantize_config.json", "quant_config.json")
_SKIPPED: Final = "modules_to_not_convert"


def _is_inside(name: str, module: str) -> bool:
    return name in module


class _Awq:
    quantizer = "AWQ"
    own_files = tuple(map(OwnFile, _FILES))
    name_fields = (_SKIPPED,)
    roles = ()
    writer = None
    speller = SKIP_LIST
    reading = skip_list(_is_inside)

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS, _FILES)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS, _FILES):
            yield from names_under(fields, _SKIPPED)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, sections_of(documents, _METHODS, _FILES)))

    def _read(self, fields: Fields) -> MetadataFile:
        value, path = fields.value, (*fields.path, _SKIPPED)
        bits = value.get("bits", value.get("w_bit"))
        zero_point = flag(value.get("zero_point"))
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo=f"AWQ_INT{bits}" if isinstance(bits, int) else None,
            group_size=positive(value.get("group_size", value.get("q_group_size"))),
            symmetric=None if zero_point is None else not zero_point,
            producer=fields.text("provider") or "",
            statements=tuple(fields.name_list("exclude", _SKIPPED)),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "bits" if "bits" in value else "w_bit"),
            entries_path=path,
            exclude_list=path,
        )


DIALECT: Final[Dialect] = _Awq()
