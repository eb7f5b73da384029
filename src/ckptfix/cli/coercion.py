"""Skip Typer's conversion of values that need none.

Typer 0.29 converts every value, even a string that stays a string, with pydantic, whose import
takes longer than checking a small checkpoint. A value that already has its type is passed through
here; anything else, such as a number, goes to Typer. For releases that convert differently, nothing
changes.
"""

from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal, get_args, get_origin

import typer

Parameter = Any
"""Click's, which Typer bundles or depends on, depending on its release."""


def spare_conversions(parameters: list[Parameter]) -> list[Parameter]:
    """The same parameters, which now convert only values of a different type."""
    for parameter in parameters:
        if getattr(parameter, "_runtime_param", parameter) is None:  # not created yet
            parameter._runtime_param = _Conversion(parameter)  # noqa: SLF001 - see above
    return parameters


class _Conversion:
    """Replaces Typer's own converter, and creates it only when it is needed."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter

    def coerce(self, value: object, param: Parameter, ctx: object) -> object:
        """The value as the command takes it; arguments as Typer gives them."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        kind = param.type_descriptor.annotation
        if _is_of(value, kind):
            return value
        if isinstance(value, tuple | list) and get_origin(kind) is list:
            (item,) = get_args(kind)
            if all(_is_of(each, item) for each in value):
                return list(value)
        if isinstance(value, str):
            _refuse(value, kind, param, ctx)
        param._runtime_param = None  # noqa: SLF001 - see above
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _refuse(value: str, kind: object, param: Parameter, ctx: Any) -> None:  # noqa: ANN401 - Click's
    """Report an invalid value in our words instead of pydantic's.

    Raises:
        typer.BadParameter: the text is not one of the choices, not a number, or out of range.
    """
    if get_origin(kind) is Literal:
        known = [str(choice) for choice in get_args(kind)]
        close = get_close_matches(value, known, n=1)
        advice = f"did you mean {close[0]}" if close else f"known are {', '.join(known)}"
        raise typer.BadParameter(f"{value!r} is unknown; {advice}", ctx=ctx, param=param)
    if kind not in (int, float):
        return
    what = "whole number" if kind is int else "number"
    try:
        number = int(value) if kind is int else float(value)
    except ValueError as error:
        message = f"{value!r} is not a {what}"
        raise typer.BadParameter(message, ctx=ctx, param=param) from error
    low, high = getattr(param, "min", None), getattr(param, "max", None)
    above = low is None or number >= low
    if not (isfinite(number) and above and (high is None or number <= high)):
        wanted = " to ".join(str(end) for end in (low, high) if end is not None)
        wanted += "" if high is not None else " or more"
        message = f"{value!r} is out of range; write a {what}, {wanted}"
        raise typer.BadParameter(message, ctx=ctx, param=param)


def _is_of(value: object, kind: object) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return kind in (str, bool, int, float) and type(value) is kind
