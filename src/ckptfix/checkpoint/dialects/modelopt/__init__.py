"""NVIDIA ModelOpt."""

from typing import Final

from ckptfix.checkpoint.dialects.interface import (
    Claim,
    Dialect,
    Documents,
    NameList,
    OwnFile,
    Role,
)
from ckptfix.checkpoint.dialects.modelopt import reader
from ckptfix.checkpoint.dialects.modelopt.writer import ModelOptWriter
from ckptfix.checkpoint.dialects.statements import MetadataFile


class _ModelOpt:
    quantizer = reader.QUANTIZER
    own_files = (OwnFile(reader.HF_QUANT_FILE, is_enough=True), OwnFile(reader.QUANT_CFG_FILE))
    name_fields = (
        reader.ENTRIES, reader.TARGETS, reader.FLAT_EXCLUDES, reader.WRAPPED_EXCLUDES,
    )  # fmt: skip
    roles = (
        Role("pre_quant_scale", "inputs", is_scale=True, optional=True),
        # The transformers path leaks the quantizer's own names (0.47.0 fixture llama-nvfp4-svd).
        Role("svdquant_lora_a", optional=True, also="weight_quantizer._svdquant_lora_a"),
        Role(
            "svdquant_lora_b",
            optional=True,
            by_row=True,
            also="weight_quantizer._svdquant_lora_b",
        ),
    )
    writer = ModelOptWriter()
    speller = None
    reading = None

    def claim(self, documents: Documents) -> Claim:
        return reader.claim(documents)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        return reader.read(documents)

    def name_lists(self, documents: Documents) -> tuple[NameList, ...]:
        return tuple(reader.name_lists(documents))


DIALECT: Final[Dialect] = _ModelOpt()
