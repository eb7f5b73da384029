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
    value_at,
)
from ckptfix.jsontext.text import JsonText


def method_in_config(documents: Documents) -> str | None:
    """The quantizer that config.json names, in lower case; None without an object."""
    config = config_in(documents)
    root = quantization_root(config) if config is not None else None
    if config is None or root is None:
        return None
    return _method(value_at(config.value, root))


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
    config = config_in(documents)
    root = quantization_root(config) if config is not None else None
    if config is not None and root is not None and method_in_config(documents) in methods:
        yield Fields.at(config, root)
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

    @abstractmethod
    def read_section(self, fields: Fields) -> MetadataFile:
        """What one object declares."""


def _names(document: JsonText | None, methods: Set[str]) -> bool:
    return document is not None and _method(document.value) in methods


def _method(value: object) -> str:
    """The quantizer that an object names, spelled as `methods` are."""
    return (named_quantizer(value) or "").lower().replace("_", "-")
