"""The value of an expression, as the runtime would compute it."""

import ast
import builtins
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from profile_extractor.attributes import get_attribute
from profile_extractor.platforms import platform_truth
from profile_extractor.values import (
    External,
    Instance,
    NotStaticError,
    Scope,
    Unknown,
    Value,
    show,
)

if TYPE_CHECKING:
    from profile_extractor.interpreter import Interpreter

_Evaluator = Callable[["Interpreter", Any, Scope], Value]

_BINARY: Final[dict[type[ast.operator], tuple[str, Callable[[Any, Any], Value]]]] = {
    ast.BitOr: ("__or__", operator.or_),
    ast.Add: ("__add__", operator.add),
    ast.Sub: ("__sub__", operator.sub),
    ast.Mult: ("__mul__", operator.mul),
    ast.FloorDiv: ("__floordiv__", operator.floordiv),
    ast.Mod: ("__mod__", operator.mod),
}
_COMPARED: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


def evaluate(interpreter: "Interpreter", node: ast.expr, scope: Scope) -> Value:
    """The value of an expression; `Unknown` where a parameter without a value decides.

    Raises:
        NotStaticError: the source alone does not show it.
    """
    evaluator = _EVALUATORS.get(type(node))
    if evaluator is None:
        raise NotStaticError(f"cannot evaluate {show(node)}")
    try:
        return evaluator(interpreter, node, scope)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise NotStaticError(f"cannot evaluate {show(node)}: {error}") from error


def truth(interpreter: "Interpreter", test: ast.expr, scope: Scope) -> bool:
    """What a test gives; a test for a platform is taken as with CUDA."""
    known = platform_truth(test)
    return bool(interpreter.evaluate(test, scope)) if known is None else known


def assign(target: ast.expr, value: Value, names: dict[str, Value]) -> None:
    """Bind what a loop or an assignment gives to its names."""
    match target:
        case ast.Name(id=name):
            names[name] = value
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            for part, item in zip(targets, _iterable(value), strict=True):
                assign(part, item, names)
        case _:
            raise NotStaticError(f"cannot assign to {show(target)}")


def _name(interpreter: "Interpreter", node: ast.Name, scope: Scope) -> Value:
    try:
        return interpreter.name(node.id, scope)
    except NotStaticError:
        if hasattr(builtins, node.id):
            return External(f"builtins.{node.id}")
        raise


def _attribute(interpreter: "Interpreter", node: ast.Attribute, scope: Scope) -> Value:
    value = interpreter.evaluate(node.value, scope)
    try:
        return get_attribute(interpreter, value, node.attr)
    except KeyError:
        raise NotStaticError(f"{show(node)} is set nowhere in the source") from None


def _list(interpreter: "Interpreter", node: ast.List | ast.Tuple, scope: Scope) -> Value:
    items = list(_items(interpreter, node.elts, scope))
    return items if isinstance(node, ast.List) else tuple(items)


def _set(interpreter: "Interpreter", node: ast.Set, scope: Scope) -> Value:
    # A tuple: see the set() of python_functions.
    return tuple(dict.fromkeys(_items(interpreter, node.elts, scope)))


def _items(interpreter: "Interpreter", nodes: Iterable[ast.expr], scope: Scope) -> Iterator[Value]:
    for node in nodes:
        if isinstance(node, ast.Starred):
            yield from _iterable(interpreter.evaluate(node.value, scope))
        else:
            yield interpreter.evaluate(node, scope)


def _dict(interpreter: "Interpreter", node: ast.Dict, scope: Scope) -> Value:
    result: dict[Value, Value] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        evaluated = interpreter.evaluate(value, scope)
        if key is not None:
            result[interpreter.evaluate(key, scope)] = evaluated
        elif isinstance(evaluated, Mapping):
            result.update(evaluated)
        else:
            raise NotStaticError(f"{show(value)} is not a dict")
    return result


def _formatted(interpreter: "Interpreter", node: ast.JoinedStr, scope: Scope) -> Value:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            if part.format_spec is not None or part.conversion != -1:
                raise NotStaticError(f"cannot format {show(node)}")
            parts.append(str(interpreter.evaluate(part.value, scope)))
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value))
    return "".join(parts)


def _binary(interpreter: "Interpreter", node: ast.BinOp, scope: Scope) -> Value:
    left = interpreter.evaluate(node.left, scope)
    right = interpreter.evaluate(node.right, scope)
    method, function = _BINARY[type(node.op)]
    if isinstance(left, Instance):
        return interpreter.call(interpreter.attribute(left.definition, method, left), [right], {})
    return function(left, right)


def _unary(interpreter: "Interpreter", node: ast.UnaryOp, scope: Scope) -> Value:
    if isinstance(node.op, ast.Not):
        return not truth(interpreter, node.operand, scope)
    value: Any = interpreter.evaluate(node.operand, scope)
    if isinstance(node.op, ast.USub):
        return -value
    raise NotStaticError(f"cannot evaluate {show(node)}")


def _boolean(interpreter: "Interpreter", node: ast.BoolOp, scope: Scope) -> Value:
    known = platform_truth(node)
    if known is not None:
        return known
    value: Value = None
    for part in node.values:
        platform = platform_truth(part)
        value = interpreter.evaluate(part, scope) if platform is None else platform
        if bool(value) is isinstance(node.op, ast.Or):
            return value
    return value


def _comparison(interpreter: "Interpreter", node: ast.Compare, scope: Scope) -> Value:
    left = interpreter.evaluate(node.left, scope)
    for kind, right_node in zip(node.ops, node.comparators, strict=True):
        right = interpreter.evaluate(right_node, scope)
        if not _COMPARED[type(kind)](left, right):
            return False
        left = right
    return True


def _named(interpreter: "Interpreter", node: ast.NamedExpr, scope: Scope) -> Value:
    value = interpreter.evaluate(node.value, scope)
    scope.names[node.target.id] = value
    return value


def _conditional(interpreter: "Interpreter", node: ast.IfExp, scope: Scope) -> Value:
    chosen = node.body if truth(interpreter, node.test, scope) else node.orelse
    return interpreter.evaluate(chosen, scope)


def _subscript(interpreter: "Interpreter", node: ast.Subscript, scope: Scope) -> Value:
    container: Any = interpreter.evaluate(node.value, scope)
    return container[interpreter.evaluate(node.slice, scope)]


def _comprehension(
    interpreter: "Interpreter",
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
    scope: Scope,
) -> Value:
    if isinstance(node, ast.DictComp):
        return {
            interpreter.evaluate(node.key, inner): interpreter.evaluate(node.value, inner)
            for inner in _rounds(interpreter, node.generators, scope)
        }
    items = [
        interpreter.evaluate(node.elt, inner)
        for inner in _rounds(interpreter, node.generators, scope)
    ]
    return tuple(dict.fromkeys(items)) if isinstance(node, ast.SetComp) else items


def _rounds(
    interpreter: "Interpreter", generators: list[ast.comprehension], scope: Scope
) -> Iterator[Scope]:
    if not generators:
        yield scope
        return
    first, *rest = generators
    for item in _iterable(interpreter.evaluate(first.iter, scope)):
        inner = scope.inside()
        assign(first.target, item, inner.names)
        if all(truth(interpreter, test, inner) for test in first.ifs):
            yield from _rounds(interpreter, rest, inner)


def _called(interpreter: "Interpreter", node: ast.Call, scope: Scope) -> Value:
    function = interpreter.evaluate(node.func, scope)
    named: dict[str, Value] = {}
    for keyword in node.keywords:
        value = lenient(interpreter, keyword.value, scope)
        if keyword.arg is not None:
            named[keyword.arg] = value
        elif isinstance(value, Mapping):
            named.update(value)
        else:
            raise NotStaticError(f"cannot evaluate **{show(keyword.value)}")
    positional: list[Value] = []
    for argument in node.args:
        if isinstance(argument, ast.Starred):
            positional.extend(_iterable(interpreter.evaluate(argument.value, scope)))
        else:
            positional.append(lenient(interpreter, argument, scope))
    return interpreter.call(function, positional, named)


def lenient(interpreter: "Interpreter", node: ast.expr, scope: Scope) -> Value:
    """The value of an expression, or that it is unknown: it need not decide anything."""
    try:
        return interpreter.evaluate(node, scope)
    except NotStaticError as reason:
        return Unknown(str(reason))


def _iterable(value: Value) -> Iterable[Value]:
    if isinstance(value, Iterable):
        return value
    raise NotStaticError(f"cannot go through {value!r}")


def _constant(_interpreter: "Interpreter", node: ast.Constant, _scope: Scope) -> Value:
    return node.value


_EVALUATORS: Final[dict[type[ast.expr], _Evaluator]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.List: _list,
    ast.Tuple: _list,
    ast.Set: _set,
    ast.Dict: _dict,
    ast.JoinedStr: _formatted,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.IfExp: _conditional,
    ast.NamedExpr: _named,
    ast.Subscript: _subscript,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.Call: _called,
}
