"""Whether a class sets its tables when the model is built, when its config is known."""

import ast
from collections.abc import Collection, Iterable

from profile_extractor.values import ClassDefinition


def sets_in_methods(order: Iterable[ClassDefinition], attributes: Collection[str]) -> bool:
    """True when a method of the classes assigns or updates one of the attributes.

    `__init_subclass__` does so without a config, and is carried out by the interpreter.
    """
    return any(
        _sets(node, attributes)
        for definition in order
        for method in definition.node.body
        if isinstance(method, ast.FunctionDef) and method.name != "__init_subclass__"
        for node in ast.walk(method)
    )


def _sets(node: ast.AST, attributes: Collection[str]) -> bool:
    match node:
        case ast.Assign(targets=targets):
            return any(_is_table(target, attributes) for target in targets)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
            return _is_table(target, attributes)
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name), attr="update")):
            return name in attributes
        case _:
            return False


def _is_table(target: ast.expr, attributes: Collection[str]) -> bool:
    container = target.value if isinstance(target, ast.Subscript) else target
    return isinstance(container, ast.Attribute) and container.attr in attributes
