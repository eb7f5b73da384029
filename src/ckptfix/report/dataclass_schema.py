"""The JSON Schema of a report that is an operation's result, field by field, under a version."""

from dataclasses import fields
from typing import Any, Literal, get_type_hints

import msgspec

from ckptfix.report.check_json import json_schema


def report_schema(name: str, version: int, result: type, **more: type) -> str:
    """The schema of `{"schema": version, "ckptfix": ..., **more, **asdict(result)}`.

    Args:
        name: title of the object.
        version: the value of `schema`.
        result: a dataclass.
        more: further fields, before those of the result.
    """
    hints = get_type_hints(result)
    own: list[tuple[str, Any]] = [("schema", Literal[version]), ("ckptfix", str), *more.items()]
    own += [(each.name, hints[each.name]) for each in fields(result)]
    return json_schema(msgspec.defstruct(name, own, forbid_unknown_fields=True))
