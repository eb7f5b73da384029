"""FP8 of FBGEMM, with a scale for each row: `quant_method` `fbgemm_fp8`.

Sources: transformers 5.19.0 (`FbgemmFp8Config`, integrations/fbgemm_fp8.py) and the layout of
Meta's Llama 3.1 405B in FP8. Entries are names, prefixes, or whole parts of names.
"""

from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Dialect, Reading
from ckptfix.checkpoint.dialects.reading import counted, in_whole_parts
from ckptfix.checkpoint.dialects.sections import OneList
from ckptfix.checkpoint.dialects.spelling import SKIP_LIST
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement

_SKIPPED: Final = "modules_to_not_convert"


def _matches(statement: Statement, module: str) -> bool:
    return in_whole_parts(statement.name, module)


def _decides(metadata: MetadataFile, module: str) -> MetadataFile | None:
    skipped = counted(metadata.of_kind("exclude"))
    return None if any(_matches(s, module) for s in skipped) else metadata


class _Fbgemm(OneList):
    quantizer = "FBGEMM"
    methods = frozenset({"fbgemm-fp8"})
    listed = _SKIPPED
    name_fields = (_SKIPPED,)
    roles = ()
    writer = None
    speller = SKIP_LIST
    reading = Reading(_decides, _matches)

    def read_section(self, fields: Fields) -> MetadataFile:
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo="FP8_CHANNEL",
            producer=self.quantizer,
            statements=tuple(fields.name_list("exclude", _SKIPPED)),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "quant_method"),
            entries_path=(*fields.path, _SKIPPED),
            exclude_list=(*fields.path, _SKIPPED),
        )


DIALECT: Final[Dialect] = _Fbgemm()
