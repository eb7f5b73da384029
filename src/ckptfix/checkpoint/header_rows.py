"""The JSON of a safetensors header -> one row per tensor, as the safetensors library reads it.

The library (0.8.0, serde_json into fixed fields) is stricter than msgspec: no field occurs twice,
no float is taken for an integer, and `__metadata__` maps strings to strings. A header as writers
produce it is decoded by msgspec, and `_is_plain` shows that none of this can be hidden in it; any
other header is read again, pair by pair.
"""

import json
from collections import Counter
from operator import attrgetter
from typing import Any, Final, Literal, TypeGuard, get_args

import msgspec

from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.text import visible

LARGEST: Final = 2**64 - 1
"""The library reads every number into an unsigned integer of 64 bits."""
NO_SHAPE: Final = (-1,)
METADATA: Final = "__metadata__"

Dtype = Literal[
    "BOOL",
    "F4",
    "F6_E2M3",
    "F6_E3M2",
    "U8",
    "I8",
    "F8_E5M2",
    "F8_E4M3",
    "F8_E8M0",
    "F8_E4M3FNUZ",
    "F8_E5M2FNUZ",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
    "F32",
    "C64",
    "F64",
    "I64",
    "U64",
]
DTYPES: Final = frozenset(get_args(Dtype))


class Row(msgspec.Struct, gc=False):
    """What a header has for one tensor; the defaults are those of fields that it lacks."""

    dtype: str = ""
    shape: tuple[int, ...] = NO_SHAPE
    data_offsets: tuple[int, int] = (-1, -1)


class _KnownRow(Row, gc=False):
    # Strings of a closed set are created once, not once per tensor.
    dtype: Dtype | Literal[""] = ""


class _Metadata(msgspec.Struct):
    text: msgspec.Raw = msgspec.field(name=METADATA, default=msgspec.Raw(b""))


_decoder = msgspec.json.Decoder(dict[str, _KnownRow])
_metadata_decoder = msgspec.json.Decoder(_Metadata)

_TELLING: Final = b":.eE-"
"""Each key has a colon; each number that is not an unsigned integer has one of the others."""
_THE_REST: Final = bytes(set(range(256)) - set(_TELLING))
_DEEPEST: Final = 127
"""Levels of objects and arrays that `serde_json` reads."""


def _telling(text: str | bytes) -> int:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return len(data.translate(None, _THE_REST))


_IN_EACH_ROW: Final = _telling('"":{"dtype":"","shape":[],"data_offsets":[,]}')


def decode_rows(data: bytes, file: str) -> dict[str, Row]:
    """Tensor name -> its row, in the order of the header; of a name that occurs twice the last.

    Raises:
        CkptfixError: not what the library takes for a header. A row may still lack a field,
            or contradict itself or the file.
    """
    try:
        rows: dict[str, Any] = _decoder.decode(data)
    except msgspec.ValidationError:
        return _decoded_by_pairs(data, file)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(file, error) from error
    has_metadata = rows.pop(METADATA, None) is not None
    metadata = bytes(_metadata_decoder.decode(data).text) if has_metadata else b""
    if _is_plain(data, rows, metadata):
        return rows
    return _decoded_by_pairs(data, file)


def _is_plain(data: bytes, rows: dict[str, Row], metadata: bytes) -> bool:
    """Whether the text has exactly what complete rows and the metadata account for.

    So no key is hidden behind another, and no number is a float or negative.
    """
    if b"\\" in data and data.count(b"\\") != metadata.count(b"\\"):
        return False  # names that are not spelled as they are
    in_metadata = 0
    if metadata:
        try:
            msgspec.json.decode(metadata, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        in_metadata = _telling(metadata) + _telling(f'"{METADATA}":')
    in_dtypes = sum(
        _telling(dtype) * rows_
        for dtype, rows_ in Counter(map(attrgetter("dtype"), rows.values())).items()
    )
    expected = in_metadata + _telling("".join(rows)) + in_dtypes + len(rows) * _IN_EACH_ROW
    return _telling(data) == expected


class _Pairs(list[tuple[str, Any]]):
    """An object with every pair of it."""


def _decoded_by_pairs(data: bytes, file: str) -> dict[str, Row]:
    try:
        msgspec.json.decode(data)  # stricter on characters than the standard library
        pairs = json.loads(
            data.decode(),
            object_pairs_hook=_Pairs,
            parse_int=_integer,
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _not_json(file, error) from error
    if not isinstance(pairs, _Pairs):
        raise _invalid(file, "it is not an object")
    if _is_deeper(pairs, _DEEPEST):
        raise _invalid(file, f"nested deeper than {_DEEPEST} levels")
    if [name for name, _ in pairs].count(METADATA) > 1:
        raise _invalid(file, f"{METADATA} occurs twice")
    rows: dict[str, Row] = {}
    for name, value in pairs:
        if name != METADATA:
            if name in rows and not _is_readable(rows[name]):
                raise _invalid(file, "its first row is wrong", name)
            rows[name] = _row(name, value, file)
        elif not _maps_strings(value):
            raise _invalid(file, f"{METADATA} must map strings to strings")
    return rows


def _is_readable(row: Row) -> bool:
    numbers = (*row.shape, *row.data_offsets)
    return row.dtype in DTYPES and all(0 <= number <= LARGEST for number in numbers)


def _integer(text: str) -> float:
    return 0.0 if text == "-0" else int(text)


def _maps_strings(value: object) -> bool:
    if isinstance(value, _Pairs):
        return all(isinstance(text, str) for _, text in value)
    return value is None


def _row(name: str, value: object, file: str) -> Row:
    if not isinstance(value, _Pairs):
        raise _invalid(file, "its row is not an object", name)
    known = [pair for pair in value if pair[0] in Row.__struct_fields__]
    fields = dict(known)
    if len(fields) < len(known):
        raise _invalid(file, "a field of its row occurs twice", name)
    for field in Row.__struct_fields__:
        if field not in fields:
            raise _invalid(file, f"its row has no {field}", name)
    dtype, shape, offsets = (fields[field] for field in Row.__struct_fields__)
    if not isinstance(dtype, str):
        raise _invalid(file, "dtype must be a string", name)
    if not _are_integers(shape):
        raise _invalid(file, "shape must be an array of integers", name)
    if not _are_integers(offsets) or len(offsets) != 2:
        raise _invalid(file, "data_offsets must be an array of two integers", name)
    return Row(dtype, tuple(shape), (offsets[0], offsets[1]))


def _are_integers(value: object) -> TypeGuard[list[int]]:
    if not isinstance(value, list) or isinstance(value, _Pairs):
        return False
    return all(type(number) is int for number in value)


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, _Pairs):
        return _is_deeper([item for _, item in value], levels)
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)


def _not_json(file: str, error: Exception) -> CkptfixError:
    return CkptfixError(
        f"the safetensors header is not valid JSON: {error}",
        place=Place(file),
        advice="download the file again",
    )


def _invalid(file: str, problem: str, name: str = "") -> CkptfixError:
    return CkptfixError(
        f"invalid safetensors header: {problem}",
        place=Place(file, tensor=visible(name) if name else None),
        advice="download the file again",
    )
