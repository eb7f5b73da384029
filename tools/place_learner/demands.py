"""What a config must contain, from errors, which usually name what is wrong."""

import ast
import linecache
import re
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Final

from place_learner.guess import guess

Demand = tuple[str, Any]

MISSING: Final = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_WISHES: Final = (
    re.compile(
        r"(?:requires?|expects?|needs?|must have|supports?|only)\b[^=]*?"
        r"(?P<key>\w+)\s*==?\s*(?P<value>'[^']*'|[\w.]+)"
    ),
    re.compile(r"[`']?(?P<key>\w+)[`']? (?:must be|is) (?P<value>True|False|true|false)"),
    re.compile(r"support (?P<key>\w+) is (?P<value>true|false)"),
    re.compile(r"Only '?(?P<value>\w+)'? (?P<key>\w+) is (?:currently )?supported"),
    re.compile(r"set `(?P<key>\w+)`.* to `(?P<value>\w+)`"),
)
_NEEDS: Final = re.compile(
    r"requires an? (?:positive integer )?[`'](\w+)[`']|requires a positive integer (\w+)"
    r"|requires `(\w+)`|[`']?(\w+)[`']? must be (?:provided|set|specified)|missing [`'](\w+)[`']"
    r"|(\w+) not exist|does not have [`'](\w+)[`']|requires (\w+) > 0|requires (\w+\.\w+)"
    r"|(\w+)\n\s+Input should be a valid integer"
)
_ALIASES: Final = {"total_num_kv_heads": "num_key_value_heads"}
"""The runtime's word -> the config's."""
_ARGUMENTS: Final = re.compile(r"missing \d+ required positional arguments?: (.*)")
_WRONG: Final = re.compile(
    r"NoneType|not (?:iterable|subscriptable)|has no len|must be a mapping"
    r"|required argument is not"
)
_WANTS_LIST: Final = re.compile(r"not (?:iterable|subscriptable)|has no len")
_ASSERTED: Final = re.compile(
    r"assert \(?(not )?(?:\w+\.)*(\w+)"
    r"(?:\s*(is not None|is None|==|is|<=|>=|>)\s*([\w.'\"]+)?)?"
)
_NO_KEYS: Final = frozenset({"isinstance", "len", "hasattr", "all"})


def demanded(error: BaseException) -> list[Demand]:
    """``(key, value)`` that a message or a failed assertion names."""
    error = _inner(error)
    text = re.split(r",? (?:but )?got\b", str(error))[0]
    if "Activation function" in text:
        names = ("hidden_act", "hidden_activation", "activation_function")
        return [(key, "gelu") for key in names]
    if found := _ARGUMENTS.search(text):
        return [_filled(key) for key in re.findall(r"'(\w+)'", found[1])]
    for pattern in _WISHES:
        found = pattern.search(text)
        if found and len(found["key"]) > 3:
            return [(found["key"], _literal(found["value"]))]
    if found := _NEEDS.search(text):
        return [_filled(next(x for x in found.groups() if x))]
    return _asserted(error)


def _asserted(error: BaseException) -> list[Demand]:
    if not isinstance(error, AssertionError) or not error.__traceback__:
        return []
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno or 0)
    found = _ASSERTED.match(line.strip())
    if not found or found[2] in _NO_KEYS:
        return []
    negated, key, operator, value = found.groups()
    if operator == "is not None":
        return [_filled(key)]
    if operator == "is None":
        return [(key, None)]
    if operator in ("==", "is") and value:
        wanted = _literal(value)
        is_a_name = isinstance(wanted, str) and value[0] not in "'\""
        return [] if is_a_name else [(key, wanted)]
    return [] if operator else [(key, not negated)]


def wrong_values(error: BaseException) -> list[Demand]:
    """``(key, value)`` for what an expression finds None, or no list where it wants one."""
    error = _inner(error)
    kinds = (TypeError, KeyError, ValueError)
    if not isinstance(error, kinds) or not _WRONG.search(str(error)) or not error.__traceback__:
        return []
    summary = traceback.extract_tb(error.__traceback__)[-1]
    frame = list(_frames(error.__traceback__))[-1]
    wants_list = _WANTS_LIST.search(str(error)) is not None
    out: list[Demand] = []
    for token in dict.fromkeys(re.findall(r"[A-Za-z_][\w.]*", _expression(summary))):
        value, key = _look_up(token, frame), token.rpartition(".")[2]
        if "must be a mapping" in str(error):
            if not isinstance(value, (dict, str)) and key != "self":
                out.append((key, {}))
        elif value is None and key not in ("None", "self"):
            filled = _filled(key)[1]
            listed = wants_list and not isinstance(filled, (list, dict))
            out.append((key, [filled] * 8 if listed else filled))
        elif isinstance(value, int) and wants_list:
            out.append((key, [value] * 8))
    return out


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _expression(summary: traceback.FrameSummary) -> str:
    """The text of the expression that raised; of the line where Python does not know better."""
    first = summary.lineno or 0
    numbers = range(first, (summary.end_lineno or first) + 1)
    lines = [linecache.getline(summary.filename, number) for number in numbers]
    if len(lines) == 1 and summary.end_colno:
        part = lines[0].encode()[summary.colno : summary.end_colno]
        return part.decode(errors="replace")
    return "".join(lines)


def _look_up(token: str, frame: FrameType) -> Any:
    """The value of a dotted name in a frame; the token itself where it has none."""
    first, *rest = token.split(".")
    value = frame.f_locals.get(first, frame.f_globals.get(first, token))
    for part in rest:
        value = getattr(value, part, token)
    return value


def _inner(error: BaseException) -> BaseException:
    """The error behind a validation error of pydantic or of a dataclass."""
    errors = getattr(error, "errors", None)
    for found in errors() if callable(errors) else ():
        inner = (found.get("ctx") or {}).get("error")
        if isinstance(inner, BaseException):
            return inner
    if type(error).__name__.endswith("ValidationError") and error.__cause__:
        return error.__cause__
    return error


def _filled(key: str) -> Demand:
    key = _ALIASES.get(key, key)
    value = guess(key)
    return key, 2 if value is None else value


def _literal(text: str) -> Any:
    text = text.strip().rstrip(".,")
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
