"""JSON files of a checkpoint, read from its source."""

from collections.abc import Iterable

from ckptfix.checkpoint.file_kind import START_BYTES, other_than_text
from ckptfix.checkpoint.source import Source
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText
from ckptfix.place import Place


def read_document(source: Source, file: str) -> JsonText:
    """Read and decode a JSON object.

    Raises:
        CkptfixError: it cannot be read, or as `parse_document`.
    """
    return parse_document(file, source.read(file))


def read_documents(source: Source, files: Iterable[str]) -> dict[str, JsonText]:
    """Those of these files that are there, by name.

    Raises:
        CkptfixError: as `read_document`.
    """
    return {file: read_document(source, file) for file in files if source.has(file)}


def parse_document(file: str, data: bytes) -> JsonText:
    """Decode a JSON object.

    Raises:
        CkptfixError: as `JsonText.parse`; a file of another kind is reported as such.
    """
    try:
        return JsonText.parse(file, data)
    except CkptfixError:
        other = other_than_text(data[:START_BYTES])
        if other is None:
            raise
        raise CkptfixError(
            f"not a JSON file but {other.what}", place=Place(file), advice=other.advice
        ) from None
