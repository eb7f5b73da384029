"""Fine-grained FP8 of transformers and DeepSeek, and per-tensor FP8 that Quark writes like it.

Sources: transformers 5.17.0 (`FineGrainedFP8Config`), amd-quark 0.13 and their exports. Entries are
names, prefixes, or whole parts of names.
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Dialect, Documents, NameList, Role
from ckptfix.checkpoint.dialects.reading import in_whole_parts, skip_list
from ckptfix.checkpoint.dialects.sections import claim_by, names_under, sections_of
from ckptfix.checkpoint.dialects.spelling import SKIP_LIST
from ckptfix.checkpoint.dialects.statements import MetadataFile

_METHODS: Final = frozenset({"fp8"})
_LISTS: Final = ("ignored_layers", "modules_to_not_convert")
"""The first one present counts (vllm 0.33.0, quantization/fp8.py `from_config`)."""


def _list_of(fields: Fields) -> str:
    return next((key for key in _LISTS if fields.value.get(key)), _LISTS[1])


class _Fp8:
    quantizer = "fine-grained FP8"
    own_files = ()
    name_fields = _LISTS
    # Of the models that Mistral publishes, each next to a `weight_scale_inv` of one value.
    roles = (Role("activation_scale", "scalar", is_scale=True, optional=True),)
    writer = None
    speller = SKIP_LIST
    reading = skip_list(in_whole_parts)

    def claim(self, documents: Documents) -> Claim:
        return claim_by(documents, _METHODS)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        for fields in sections_of(documents, _METHODS):
            for key in _LISTS:
                yield from names_under(fields, key)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return tuple(map(self._read, sections_of(documents, _METHODS)))

    def _read(self, fields: Fields) -> MetadataFile:
        key, in_blocks = _list_of(fields), fields.value.get("weight_block_size") is not None
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo="FP8_BLOCK_INV" if in_blocks else "FP8_TENSOR",
            statements=tuple(fields.name_list("exclude", key)),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, "weight_block_size" if in_blocks else "quant_method"),
            entries_path=(*fields.path, key),
            exclude_list=(*fields.path, key),
        )


DIALECT: Final[Dialect] = _Fp8()
