"""MXFP4 of gpt-oss: the experts of a layer in two fused parameters, everything else in float.

Source: the published layout of gpt-oss, as transformers 5.17.0 `Mxfp4Config` reads it.
`modules_to_not_convert` holds shell patterns.
"""

from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Dialect, Reading, Role
from ckptfix.checkpoint.dialects.reading import counted, fits_glob
from ckptfix.checkpoint.dialects.sections import OneList
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement

_SKIPPED: Final = "modules_to_not_convert"


def _is_expression(statement: Statement) -> bool:
    return "*" in statement.name


def _matches(statement: Statement, module: str) -> bool:
    name = statement.name
    return fits_glob(name, module) or fits_glob(f"{name}.*", module)


def _decides(metadata: MetadataFile, module: str) -> MetadataFile | None:
    skipped = counted(metadata.of_kind("exclude"))
    return None if any(_matches(s, module) for s in skipped) else metadata


class _Mxfp4(OneList):
    quantizer = "MXFP4 of gpt-oss"
    methods = frozenset({"mxfp4"})
    listed = _SKIPPED
    name_fields = (_SKIPPED,)
    roles = (Role("blocks", is_weight=True, fused=True),)
    writer = None
    speller = None  # no runtime reads a name
    reading = Reading(_decides, _matches, _is_expression)

    def read_section(self, fields: Fields) -> MetadataFile:
        path = (*fields.path, _SKIPPED)
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo="MXFP4_BLOCKS",
            group_size=32,
            statements=tuple(fields.name_list("exclude", _SKIPPED)),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "quant_method"),
            entries_path=path,
            exclude_list=path,
        )


DIALECT: Final[Dialect] = _Mxfp4()
