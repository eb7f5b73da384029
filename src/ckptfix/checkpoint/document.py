"""A JSON file of a checkpoint."""

from ckptfix.checkpoint.file_kind import START_BYTES, other_than_text
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText
from ckptfix.place import Place


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
