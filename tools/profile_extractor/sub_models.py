"""The parts of a model that its class builds under a prefix of their own."""

import ast
from collections.abc import Iterator
from typing import Final

from profile_extractor.expressions import lenient
from profile_extractor.interpreter import Interpreter
from profile_extractor.values import ClassDefinition, Scope, Unknown, Value, show

SubModelRow = tuple[str, str | None, str]
"""Attribute, prefix (None where it is computed), what is called to build the part."""

_OUTER: Final = "\0"
"""Stands for the prefix under which the model itself is built."""


def sub_models(interpreter: Interpreter, definition: ClassDefinition) -> tuple[SubModelRow, ...]:
    """What the class builds with `prefix=`, its own parts before those of `super().__init__()`."""
    rows: list[SubModelRow] = []
    assigned: set[str] = set()
    prefix: Value = _OUTER
    caller: tuple[ast.FunctionDef, ast.Call, Scope] | None = None
    for owner in interpreter.order(definition):
        init = owner.bindings.names.get("__init__")
        if not isinstance(init, ast.FunctionDef):
            continue
        if caller is not None:
            prefix = _passed_prefix(interpreter, *caller, init)
        scope = _scope(owner, init, prefix)
        parts = [_row(interpreter, scope, *built) for built in _built(init)]
        rows += [row for row in parts if row[0] not in assigned]
        assigned |= {row[0] for row in parts}
        call = _inherited_call(init)
        if call is None:
            break
        caller = init, call, scope
    return tuple(dict.fromkeys(rows))


def _inherited_call(init: ast.FunctionDef) -> ast.Call | None:
    """The call of `super().__init__`, which goes on with the next class that has one."""
    for node in ast.walk(init):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__")
            ):
                return node
    return None


def _passed_prefix(
    interpreter: Interpreter,
    caller: ast.FunctionDef,
    call: ast.Call,
    scope: Scope,
    called: ast.FunctionDef,
) -> Value:
    """The prefix that an `__init__` is given by that of a subclass."""
    names = _parameters(called)[1:]
    given = dict(zip(names, call.args, strict=False))
    given |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    if "prefix" in given:
        return lenient(interpreter, given["prefix"], scope)
    unpacked = any(isinstance(argument, ast.Starred) for argument in call.args)
    if unpacked or any(keyword.arg is None for keyword in call.keywords):
        own = "prefix" in _parameters(caller)
        return Unknown("it may be among *args or **kwargs") if own else scope.names["prefix"]
    return ""


def _parameters(init: ast.FunctionDef) -> list[str]:
    return [p.arg for p in (*init.args.posonlyargs, *init.args.args, *init.args.kwonlyargs)]


def _built(init: ast.FunctionDef) -> Iterator[tuple[str, ast.expr, ast.Call]]:
    """Attributes of `self`, with each call in what is assigned that takes a prefix."""
    for statement in ast.walk(init):
        match statement:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.AnnAssign(target=annotated, value=ast.expr() as value):
                targets = [annotated]
            case _:
                continue
        for target in targets:
            match target:
                case ast.Attribute(value=ast.Name(id="self"), attr=attribute):
                    for call in ast.walk(value):
                        if isinstance(call, ast.Call):
                            yield from (
                                (attribute, keyword.value, call)
                                for keyword in call.keywords
                                if keyword.arg == "prefix"
                            )


def _scope(owner: ClassDefinition, init: ast.FunctionDef, prefix: Value) -> Scope:
    """Where `__init__` stands: of its own names, only the prefix is known."""
    own = [node.id for node in ast.walk(init) if _is_stored(node) and isinstance(node, ast.Name)]
    own += _parameters(init)
    names: dict[str, Value] = dict(owner.closure)
    names |= {name: Unknown(f"{name} is known when the model is built") for name in own}
    return Scope(owner.module, names | {"prefix": prefix})


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _row(
    interpreter: Interpreter, scope: Scope, attribute: str, prefix: ast.expr, call: ast.Call
) -> SubModelRow:
    return attribute, _relative(lenient(interpreter, prefix, scope)), show(call.func)


def _relative(prefix: Value) -> str | None:
    """A prefix without that of the model itself."""
    if not isinstance(prefix, str):
        return None
    relative = prefix.removeprefix(_OUTER).removeprefix(".")
    return None if _OUTER in relative else relative
