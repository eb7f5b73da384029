"""What a call gives: a function of the release, a dataclass of it, or a function of Python."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from profile_extractor.attributes import get_attribute
from profile_extractor.classes import is_dataclass
from profile_extractor.python_functions import FUNCTIONS
from profile_extractor.values import (
    BoundMethod,
    ClassDefinition,
    External,
    FunctionDefinition,
    Instance,
    NotStaticError,
    Scope,
    Unknown,
    Value,
    show,
)

if TYPE_CHECKING:
    from profile_extractor.interpreter import Interpreter


def call(
    interpreter: "Interpreter",
    function: Value,
    positional: Sequence[Value],
    named: Mapping[str, Value],
) -> Value:
    """What a call gives.

    Raises:
        NotStaticError: the source alone does not show it.
    """
    match function:
        case FunctionDefinition():
            names = dict(function.closure)
            names |= _arguments(interpreter, function, positional, named)
            scope = Scope(function.module, names)
            return interpreter.run(function.node.body, scope)
        case ClassDefinition():
            return _instance(interpreter, function, positional, named)
        case External("builtins.getattr" | "builtins.hasattr"):
            return _looked_up(interpreter, function.name, known(positional))
        case External("dataclasses.replace"):
            return _replaced(known(positional), known(list(named.values())), list(named))
        case BoundMethod(call=plain):
            return _plain(plain, positional, named)
        case External(name=name) if name in FUNCTIONS:
            return _plain(FUNCTIONS[name], positional, named)
        case External(name=name):
            raise NotStaticError(f"cannot call {name.removeprefix('builtins.')}")
        case _:
            raise NotStaticError(f"cannot call {function!r}")


def known(values: Sequence[Value]) -> Sequence[Value]:
    """The same values.

    Raises:
        NotStaticError: one of them is unknown.
    """
    for value in values:
        if isinstance(value, Unknown):
            raise NotStaticError(value.reason)
    return values


def _plain(
    function: Callable[..., Value], positional: Sequence[Value], named: Mapping[str, Value]
) -> Value:
    known([*positional, *named.values()])
    return function(*positional, **named)


def _arguments(
    interpreter: "Interpreter",
    function: FunctionDefinition,
    positional: Sequence[Value],
    named: Mapping[str, Value],
) -> dict[str, Value]:
    """The value of each parameter; one without any is `Unknown`."""
    parameters = function.node.args
    ordered = [*parameters.posonlyargs, *parameters.args]
    values: dict[str, Value] = {
        p.arg: Unknown(f"{p.arg} of {function.node.name} is known when the model is built")
        for p in (*ordered, *parameters.kwonlyargs)
    }
    scope = Scope(function.module, dict(function.closure))
    defaults = [
        *zip(ordered[len(ordered) - len(parameters.defaults) :], parameters.defaults, strict=True),
        *zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True),
    ]
    for parameter, default in defaults:
        if default is not None:
            values[parameter.arg] = interpreter.evaluate(default, scope)
    given = [*function.bound, *positional]
    values |= {p.arg: value for p, value in zip(ordered, given, strict=False)}
    values |= {name: value for name, value in named.items() if name in values}
    if parameters.vararg:
        values[parameters.vararg.arg] = tuple(given[len(ordered) :])
    if parameters.kwarg:
        others = {name: value for name, value in named.items() if name not in values}
        values[parameters.kwarg.arg] = others
    return values


def _instance(
    interpreter: "Interpreter",
    definition: ClassDefinition,
    positional: Sequence[Value],
    named: Mapping[str, Value],
) -> Instance:
    if not is_dataclass(definition):
        raise NotStaticError(f"{definition.name} is not a dataclass")
    declared = [
        (statement.target.id, statement.value)
        for statement in definition.node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]
    given = dict(zip((name for name, _ in declared), positional, strict=False)) | dict(named)
    unexpected = set(given) - {name for name, _ in declared}
    if unexpected or len(positional) > len(declared):
        raise NotStaticError(f"{definition.name} has no such field: {sorted(unexpected)}")
    known(list(given.values()))
    fields = {
        name: given[name] if name in given else _default(interpreter, definition, name, default)
        for name, default in declared
    }
    return Instance(definition, fields)


def _default(
    interpreter: "Interpreter", definition: ClassDefinition, name: str, default: ast.expr | None
) -> Value:
    match default:
        case None:
            raise NotStaticError(f"{definition.name} is made without {name}")
        case ast.Call(
            func=ast.Name(id="field"), keywords=[ast.keyword(arg="default_factory", value=factory)]
        ):
            scope = Scope(definition.module, dict(definition.closure))
            return interpreter.call(interpreter.evaluate(factory, scope), [], {})
        case ast.Call(func=ast.Name(id="field")):
            raise NotStaticError(f"cannot evaluate {show(default)}")
        case _:
            return interpreter.evaluate(default, Scope(definition.module))


def _replaced(
    positional: Sequence[Value], values: Sequence[Value], names: Sequence[str]
) -> Instance:
    match positional:
        case [Instance(definition=definition, fields=fields)]:
            return Instance(definition, {**fields, **dict(zip(names, values, strict=True))})
        case _:
            raise NotStaticError("replace() of what is no dataclass")


def _looked_up(interpreter: "Interpreter", function: str, positional: Sequence[Value]) -> Value:
    match positional:
        case [value, str(name), *default]:
            try:
                found = get_attribute(interpreter, value, name)
            except KeyError:
                if function == "builtins.hasattr":
                    return False
                if default:
                    return default[0]
                raise NotStaticError(f"nothing has an attribute {name}") from None
            return True if function == "builtins.hasattr" else found
        case _:
            raise NotStaticError(f"cannot evaluate {function}")
