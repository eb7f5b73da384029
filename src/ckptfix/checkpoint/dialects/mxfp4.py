"""MXFP4 of gpt-oss: the experts of a layer in two fused parameters, everything else in float.

Source: the published layout of gpt-oss, as transformers 5.17.0 `Mxfp4Config` reads it.
`modules_to_not_convert` holds shell patterns.
"""

from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Dialect, Role
from ckptfix.checkpoint.dialects.reading import fits_glob, skip_list
from ckptfix.checkpoint.dialects.sections import OneList
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement

_SKIPPED: Final = "modules_to_not_convert"


def _is_expression(statement: Statement) -> bool:
    return "*" in statement.name


def _fits(name: str, module: str) -> bool:
    return fits_glob(name, module) or fits_glob(f"{name}.*", module)


class _Mxfp4(OneList):
    quantizer = "MXFP4 of gpt-oss"
    methods = frozenset({"mxfp4"})
    listed = _SKIPPED
    name_fields = (_SKIPPED,)
    roles = (Role("blocks", is_weight=True, fused=True),)
    writer = None
    speller = None  # no runtime reads a name
    reading = skip_list(_fits, _is_expression)

    def read_section(self, fields: Fields) -> MetadataFile:
        return self.declared(fields, "MXFP4_BLOCKS", group_size=32)


DIALECT: Final[Dialect] = _Mxfp4()
