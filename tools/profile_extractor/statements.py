"""What a small function returns: its statements carried out as far as the source alone shows."""

import ast
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from profile_extractor.expressions import assign, lenient, truth
from profile_extractor.scopes import imports, read_bindings
from profile_extractor.values import (
    ClassDefinition,
    FunctionDefinition,
    NotStaticError,
    Scope,
    Unknown,
    Value,
    show,
)

if TYPE_CHECKING:
    from profile_extractor.interpreter import Interpreter

_DESCRIPTIVE: Final = ("__name__", "__qualname__", "__doc__")
"""Attributes of a class that may be set without its tables changing."""


def run(interpreter: "Interpreter", body: Sequence[ast.stmt], scope: Scope) -> Value:
    """What a function body returns.

    Raises:
        NotStaticError: the source alone does not show it.
    """
    returned = _Run(interpreter, scope).block(body)
    return returned[0] if returned else None


class _Run:
    """One pass through a function; a block gives what was returned, in a tuple, or nothing."""

    def __init__(self, interpreter: "Interpreter", scope: Scope) -> None:
        self.interpreter = interpreter
        self.scope = scope

    def block(self, body: Sequence[ast.stmt]) -> tuple[Value, ...]:
        for statement in body:
            returned = self._statement(statement)
            if returned:
                return returned
        return ()

    def _statement(self, statement: ast.stmt) -> tuple[Value, ...]:
        match statement:
            case ast.Return(value=None):
                return (None,)
            case ast.Return(value=ast.expr() as value):
                return (self.interpreter.evaluate(value, self.scope),)
            case ast.If(test=test, body=body, orelse=orelse):
                return self.block(body if truth(self.interpreter, test, self.scope) else orelse)
            case ast.With(body=body):
                return self.block(body)
            case ast.For():
                return self._loop(statement)
            case ast.Raise():
                raise NotStaticError(f"the source raises: {show(statement)}")
            case _:
                self._effect(statement)
                return ()

    def _loop(self, statement: ast.For) -> tuple[Value, ...]:
        items = self.interpreter.evaluate(statement.iter, self.scope)
        if not isinstance(items, Iterable):
            raise NotStaticError(f"cannot go through {show(statement.iter)}")
        for item in items:
            assign(statement.target, item, self.scope.names)
            returned = self.block(statement.body)
            if returned:
                return returned
        return self.block(statement.orelse)

    def _effect(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                evaluated = lenient(self.interpreter, value, self.scope)
                for target in targets:
                    self._assign(target, evaluated)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, lenient(self.interpreter, value, self.scope))
            case ast.AugAssign(target=ast.Name(id=name) as target, op=operator, value=value):
                both = ast.BinOp(ast.Name(name, ast.Load()), operator, value)
                self._assign(target, self.interpreter.evaluate(both, self.scope))
            case ast.Expr(value=value):
                self._expression(value)
            case ast.Pass() | ast.Assert() | ast.AnnAssign(value=None):
                pass
            case _:
                self._definition(statement)

    def _definition(self, statement: ast.stmt) -> None:
        names, module = self.scope.names, self.scope.module
        match statement:
            case ast.Import() | ast.ImportFrom():
                for name, target in imports(statement, module.package):
                    names[name] = self.interpreter.imported(target)
            case ast.ClassDef(name=name, body=body):
                bindings = read_bindings(body, module.package)
                names[name] = ClassDefinition(module, statement, bindings, dict(names))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names[name] = FunctionDefinition(module, statement, closure=dict(names))
            case _:
                raise NotStaticError(f"cannot follow {show(statement)}")

    def _assign(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Subscript(value=container_node, slice=key):
                container = self.interpreter.evaluate(container_node, self.scope)
                if not isinstance(container, dict) or isinstance(value, Unknown):
                    raise NotStaticError(f"cannot set {show(target)}")
                container[self.interpreter.evaluate(key, self.scope)] = value
            case ast.Attribute(attr=name) if name in _DESCRIPTIVE:
                pass
            case ast.Attribute(value=object_node, attr=name):
                definition = self.interpreter.evaluate(object_node, self.scope)
                if not isinstance(definition, ClassDefinition):
                    raise NotStaticError(f"cannot set {show(target)}")
                self.interpreter.set_attribute(definition, name, value)
            case ast.Tuple() if isinstance(value, Unknown):
                for part in target.elts:
                    self._assign(part, value)
            case _:
                assign(target, value, self.scope.names)

    def _expression(self, node: ast.expr) -> None:
        """A call for its effect. What touches none of the function's tables is left out."""
        if not isinstance(node, ast.Call):
            return
        touched = [*node.args, *(k.value for k in node.keywords if k.arg is not None)]
        if isinstance(node.func, ast.Attribute):
            touched.append(node.func.value)
        values = [lenient(self.interpreter, part, self.scope) for part in touched]
        if any(isinstance(value, dict | list) for value in values):
            self.interpreter.evaluate(node, self.scope)
