"""MXFP4 of gpt-oss: the experts of a layer in two fused parameters, everything else in float.

Source: the published layout of gpt-oss, as transformers 5.17.0 `Mxfp4Config` reads it.
`modules_to_not_convert` holds shell patterns.
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Dialect, Documents, NameList, Reading, Role
from ckptfix.checkpoint.dialects.reading import counted, fits_glob
from ckptfix.checkpoint.dialects.sections import claim_by, sections_of
from ckptfix.checkpoint.dialects.statements import LeftOut, MetadataFile

_METHODS: Final = frozenset({"mxfp4"})
_SKIPPED: Final = "modules_to_not_convert"


def _reading(metadata: MetadataFile, module: str) -> MetadataFile | None:
    for skipped in counted(metadata.of_kind("exclude")):
        if fits_glob(skipped.name, module) or fits_glob(f"{skipped.name}.*", module):
            return None
    return metadata


class _Mxfp4:
    quantizer = "MXFP4 of gpt-oss"
    own_files = ()
    name_fields = (_SKIPPED,)
    roles = (Role("blocks", is_weight=True, fused=True),)
    writer = None
    reading: Reading = staticmethod(_reading)

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS, {}):
            skipped = fields.value.get(_SKIPPED)
            if isinstance(skipped, list):
                yield NameList(fields.document.file, (*fields.path, _SKIPPED), skipped)

    def read(self, documents: Documents, left_out: LeftOut) -> tuple[MetadataFile, ...]:
        return tuple(self._read(fields) for fields in sections_of(documents, _METHODS, left_out))

    def _read(self, fields: Fields) -> MetadataFile:
        path, skipped = (*fields.path, _SKIPPED), fields.value.get(_SKIPPED)
        if skipped is not None and not isinstance(skipped, list):
            fields.wrong((_SKIPPED,), "a list of strings")
            skipped = None
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo="MXFP4_BLOCKS",
            group_size=32,
            statements=tuple(fields.names("exclude", path, skipped or ())),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "quant_method"),
            entries_path=path,
            exclude_list=path,
        )


DIALECT: Final[Dialect] = _Mxfp4()
