"""MXFP8 as MiniMax writes it: `quant_method` `mxfp8`, and a list of what is left out.

Sources: vllm-project/vllm issue 45568, and vLLM 0.33.0, which reads it as ModelOpt's MXFP8
(vllm/model_executor/layers/quantization/modelopt.py `ModelOptMxFp8Config.from_config`).
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Dialect, Documents, NameList
from ckptfix.checkpoint.dialects.sections import claim_by, names_under, sections_of
from ckptfix.checkpoint.dialects.statements import MetadataFile

_METHODS: Final = frozenset({"mxfp8"})
_SKIPPED: Final = "ignored_layers"


class _Mxfp8:
    quantizer = "MXFP8 of MiniMax"
    own_files = ()
    name_fields = (_SKIPPED,)
    roles = ()
    writer = None
    speller = None
    reading = None

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS):
            yield from names_under(fields, _SKIPPED)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, sections_of(documents, _METHODS)))

    def _read(self, fields: Fields) -> MetadataFile:
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo="MXFP8",
            producer=self.quantizer,
            statements=tuple(fields.name_list("exclude", _SKIPPED)),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "quant_method"),
            entries_path=(*fields.path, _SKIPPED),
            exclude_list=(*fields.path, _SKIPPED),
        )


DIALECT: Final[Dialect] = _Mxfp8()
