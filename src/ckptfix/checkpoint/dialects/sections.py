"""The quantization objects of a quantizer that names itself by `quant_method`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Set
from typing import ClassVar

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Documents, NameList, OwnFile
from ckptfix.checkpoint.dialects.statements import (
    MetadataFile,
    config_in,
    named_quantizer,
    quantization_root,
)
from ckptfix.jsontext.text import JsonText


def object_in_config(documents: Documents) -> Fields | None:
    """The quantization object in config.json."""
    config = config_in(documents)
    root = quantization_root(config) if config is not None else None
    return None if config is None or root is None else Fields.at(config, root)


def method_in_config(documents: Documents) -> str | None:
    """The quantizer that config.json names, in lower case; None without an object."""
    found = object_in_config(documents)
    return None if found is None else _method(found.value)


def claim_by(documents: Documents, methods: Set[str], files: tuple[str, ...] = ()) -> Claim:
    """How surely files belong to a quantizer of these methods.

    Its own file counts only if config.json has no quantization object: only then is it read.
    """
    method = method_in_config(documents)
    if method is not None:
        return Claim.NAMED if method in methods else Claim.NONE
    named = any(_names(documents.get(file), methods) for file in files)
    return Claim.NAMED if named else Claim.NONE


def sections_of(
    documents: Documents, methods: Set[str], files: tuple[str, ...] = ()
) -> Iterator[Fields]:
    """The object in config.json, then those in the quantizer's own files."""
    found = object_in_config(documents)
    if found is not None and _method(found.value) in methods:
        yield found
    for file in files:
        document = documents.get(file)
        if document is not None and _names(document, methods):
            yield Fields.at(document, ())


def names_under(fields: Fields, key: str, *, as_keys: bool = False) -> Iterator[NameList]:
    """The names in the list under a key.

    Args:
        fields: the object that has the key.
        key: one of them.
        as_keys: it has an object instead, whose keys are patterns over names.
    """
    value = fields.value.get(key)
    if isinstance(value, dict if as_keys else list):
        yield NameList(fields.document.file, (*fields.path, key), value, are_patterns=as_keys)


class OneList(ABC):
    """Shared by dialects whose names are one list of the object in config.json."""

    own_files: tuple[OwnFile, ...] = ()
    methods: ClassVar[Set[str]]
    """Values of `quant_method`."""
    listed: ClassVar[str]
    """Key of the list."""
    quantizer: ClassVar[str]

    def claim(self, documents: Documents) -> Claim:
        """How surely files belong to this quantizer."""
        return claim_by(documents, self.methods)

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        """The list."""
        for fields in sections_of(documents, self.methods):
            yield from names_under(fields, self.listed)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        """What the object declares."""
        return tuple(map(self.read_section, sections_of(documents, self.methods)))

    def declared(
        self,
        fields: Fields,
        quant_algo: str,
        *,
        algo_key: str = "quant_method",
        group_size: int | None = None,
        producer: str = "",
    ) -> MetadataFile:
        """One scheme for all that the list does not name.

        Args:
            fields: the object.
            quant_algo: the scheme.
            algo_key: the key that says so.
            group_size: input columns per scale.
            producer: who wrote it, where it says that.
        """
        path = (*fields.path, self.listed)
        return MetadataFile(
            file=fields.document.file,
            root=fields.path,
            quantizer=self.quantizer,
            quant_algo=quant_algo,
            group_size=group_size,
            producer=producer,
            statements=tuple(fields.name_list("exclude", self.listed)),
            faults=tuple(fields.faults),
            algo_path=(*fields.path, algo_key),
            entries_path=path,
            exclude_list=path,
        )

    @abstractmethod
    def read_section(self, fields: Fields) -> MetadataFile:
        """What one object declares."""


def _names(document: JsonText | None, methods: Set[str]) -> bool:
    return document is not None and _method(document.value) in methods


def _method(value: object) -> str:
    """The quantizer that an object names, spelled as `methods` are."""
    return (named_quantizer(value) or "").lower().replace("_", "-")
