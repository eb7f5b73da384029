"""FP8 of FBGEMM, with a scale for each row: `quant_method` `fbgemm_fp8`.

Sources: transformers 5.19.0 (`FbgemmFp8Config`, integrations/fbgemm_fp8.py) and the layout of
Meta's Llama 3.1 405B in FP8. Entries are names, prefixes, or whole parts of names.
"""

from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Dialect
from ckptfix.checkpoint.dialects.reading import in_whole_parts, skip_list
from ckptfix.checkpoint.dialects.sections import OneList
from ckptfix.checkpoint.dialects.spelling import SKIP_LIST
from ckptfix.checkpoint.dialects.statements import MetadataFile

_SKIPPED: Final = "modules_to_not_convert"


class _Fbgemm(OneList):
    quantizer = "FBGEMM"
    methods = frozenset({"fbgemm-fp8"})
    listed = _SKIPPED
    name_fields = (_SKIPPED,)
    roles = ()
    writer = None
    speller = SKIP_LIST
    reading = skip_list(in_whole_parts)

    def read_section(self, fields: Fields) -> MetadataFile:
        return self.declared(fields, "FP8_CHANNEL", producer=self.quantizer)


DIALECT: Final[Dialect] = _Fbgemm()
