"""bitsandbytes as written by transformers.

Sources: bitsandbytes 0.50.2 with transformers 5.17.0, and their exports. The names of the
companions of a 4-bit weight start with the name of the weight; its shape is in a tensor of JSON
bytes.
"""

from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Dialect, Role
from ckptfix.checkpoint.dialects.reading import in_whole_parts, skip_list
from ckptfix.checkpoint.dialects.sections import OneList
from ckptfix.checkpoint.dialects.spelling import SKIP_LIST
from ckptfix.checkpoint.dialects.statements import MetadataFile

_SKIPPED: Final = "llm_int8_skip_modules"


class _Bitsandbytes(OneList):
    quantizer = "bitsandbytes"
    methods = frozenset({"bitsandbytes"})
    listed = _SKIPPED
    name_fields = (_SKIPPED,)
    roles = (
        Role("absmax", also="weight.absmax"),
        Role("quant_map", also="weight.quant_map"),
        Role("nested_absmax", also="weight.nested_absmax"),
        Role("nested_quant_map", also="weight.nested_quant_map"),
        Role("quant_state_nf4", also="weight.quant_state.bitsandbytes__nf4"),
        Role("quant_state_fp4", also="weight.quant_state.bitsandbytes__fp4"),
        Role("SCB", is_scale=True),
        Role("weight_format"),
    )
    writer = None
    speller = SKIP_LIST
    reading = skip_list(in_whole_parts)

    def read_section(self, fields: Fields) -> MetadataFile:
        value = fields.value
        four = value.get("load_in_4bit", value.get("_load_in_4bit")) is True
        kind = "FP4" if value.get("bnb_4bit_quant_type") == "fp4" else "NF4"
        algo = f"BNB_{kind}" if four else "BNB_INT8"
        return self.declared(fields, algo, algo_key="load_in_4bit" if four else "load_in_8bit")


DIALECT: Final[Dialect] = _Bitsandbytes()
