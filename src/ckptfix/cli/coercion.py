"""Values that need no conversion, kept from Typer's.

Typer 0.29 converts every value, also a text that stays a text, with pydantic, which takes longer
to import than a small checkpoint to check. What is already of its type is handed on here; all else,
such as a number on the command line, goes to Typer. In releases that convert in another way
nothing changes.
"""

from typing import Any, Literal, get_args, get_origin

Parameter = Any
"""Click's, which Typer bundles or depends on, depending on its release."""


def spare_conversions(parameters: list[Parameter]) -> list[Parameter]:
    """The same parameters, which now convert only what is not of its type yet."""
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
        param._runtime_param = None  # noqa: SLF001 - see above
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _is_of(value: object, kind: object) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return kind in (str, bool, int, float) and type(value) is kind
