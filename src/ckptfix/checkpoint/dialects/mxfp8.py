"""MXFP8 as MiniMax writes it: `quant_method` `mxfp8`, and a list of what is left out.

Sources: vllm-project/vllm issue 45568, and vLLM 0.33.0, which reads it as ModelOpt's MXFP8
(vllm/model_executor/layers/quantization/modelopt.py `ModelOptMxFp8Config.from_config`).
"""

from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Dialect
from ckptfix.checkpoint.dialects.sections import OneList
from ckptfix.checkpoint.dialects.statements import MetadataFile

_SKIPPED: Final = "ignored_layers"


class _Mxfp8(OneList):
    quantizer = "MXFP8 of MiniMax"
    methods = frozenset({"mxfp8"})
    listed = _SKIPPED
    name_fields = (_SKIPPED,)
    roles = ()
    writer = None
    speller = None
    reading = None

    def read_section(self, fields: Fields) -> MetadataFile:
        return self.declared(fields, "MXFP8", producer=self.quantizer)


DIALECT: Final[Dialect] = _Mxfp8()
