"""Metadata of a quantizer that no other dialect reads: only its name is known.

A release that does not register the name stops there, whatever the object says, so that it has an
answer all the same (`runtimes/quant_methods.py`).
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.interface import Claim, Dialect, Documents, NameList
from ckptfix.checkpoint.dialects.sections import method_in_config, object_in_config
from ckptfix.checkpoint.dialects.statements import MetadataFile, named_quantizer


class _Unread:
    quantizer = "another quantizer"
    own_files = ()
    name_fields = ()
    roles = ()
    writer = None
    speller = None
    reading = None

    def claim(self, documents: Documents) -> Claim:
        return Claim.UNREAD if method_in_config(documents) else Claim.NONE

    def name_lists(self, documents: Documents) -> Iterator[NameList]:  # noqa: ARG002 - the protocol
        return iter(())

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        fields = object_in_config(documents)
        if fields is None:
            return ()
        path = (*fields.path, "quant_method")
        method = named_quantizer(fields.value) or ""
        return (
            MetadataFile(
                file=fields.document.file,
                root=fields.path,
                quantizer=method,
                producer=method,
                is_read=False,
                faults=tuple(fields.faults),
                algo_path=path,
                entries_path=path,
                exclude_list=path,
            ),
        )


DIALECT: Final[Dialect] = _Unread()
