"""Evaluates expressions and small functions of a runtime as it would, without importing it."""

import ast
from collections.abc import Mapping, Sequence

from profile_extractor.calls import call
from profile_extractor.classes import assigned_attributes, own_attribute, resolution_order
from profile_extractor.expressions import evaluate
from profile_extractor.lookup import Lookup
from profile_extractor.scopes import Import
from profile_extractor.statements import run
from profile_extractor.values import (
    ClassDefinition,
    External,
    FunctionDefinition,
    Module,
    NotStaticError,
    Scope,
    Unknown,
    Value,
)

_DEEPEST = 60
"""Nested evaluations; more of them are a definition in terms of itself."""


class Interpreter:
    """Expressions, calls and function bodies of one release.

    All methods raise `NotStaticError` where the source alone does not show it.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self._depth = 0
        self._orders: dict[ClassDefinition, list[ClassDefinition]] = {}
        self._set_on_creation: dict[ClassDefinition, dict[str, Value]] = {}

    def evaluate(self, node: ast.expr, scope: Scope) -> Value:
        """The value of an expression."""
        if self._depth > _DEEPEST:
            raise NotStaticError("it is defined in terms of itself")
        self._depth += 1
        try:
            value = evaluate(self, node, scope)
        finally:
            self._depth -= 1
        return self._known(value)

    @staticmethod
    def _known(value: Value) -> Value:
        if isinstance(value, Unknown):
            raise NotStaticError(value.reason)
        return value

    def call(
        self, function: Value, positional: Sequence[Value], named: Mapping[str, Value]
    ) -> Value:
        """What a call gives."""
        return call(self, function, positional, named)

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> Value:
        """What a function body returns."""
        return run(self, body, scope)

    def name(self, name: str, scope: Scope) -> Value:
        """What a name means at the place of an expression."""
        if name in scope.names:
            return scope.names[name]
        owner = scope.owner
        if owner is not None and isinstance(owner.bindings.names.get(name), ast.expr):
            return self.attribute(owner, name)
        if owner is not None and name in owner.closure:
            return owner.closure[name]
        return self.module_name(scope.module, name)

    def module_name(self, module: Module, name: str) -> Value:
        """What a name means in a module."""
        return self._value(self.lookup.find(module, name))

    def imported(self, target: Import) -> Value:
        """What an import brings."""
        return self._value(self.lookup.imported(target))

    def _value(
        self,
        found: Module | ClassDefinition | FunctionDefinition | External | tuple[Module, ast.expr],
    ) -> Value:
        return self.evaluate(found[1], Scope(found[0])) if isinstance(found, tuple) else found

    def order(self, definition: ClassDefinition) -> list[ClassDefinition]:
        """A class and its bases of the release, in the order in which Python searches them."""
        if definition not in self._orders:
            self._orders[definition] = resolution_order(definition, self._bases)
        return self._orders[definition]

    def _bases(self, definition: ClassDefinition) -> list[ClassDefinition]:
        scope = Scope(definition.module, dict(definition.closure))
        bases = []
        for node in definition.node.bases:
            generic = node.value if isinstance(node, ast.Subscript) else node
            base = self.evaluate(generic, scope)
            if isinstance(base, ClassDefinition):
                bases.append(base)
            elif not isinstance(base, External):
                raise NotStaticError(f"a base of {definition.name} is not a class")
        return bases

    def attribute(
        self, definition: ClassDefinition, name: str, instance: Value | None = None
    ) -> Value:
        """An attribute of a class, or of an instance of it.

        Raises:
            KeyError: no class of the release that it inherits from has it.
        """
        for owner in self.order(definition):
            created = self._created(owner)
            if name in created:
                return self._known(created[name])
            binding = own_attribute(owner, name)
            if isinstance(binding, ast.FunctionDef | ast.AsyncFunctionDef):
                return method(owner, binding, definition if instance is None else instance)
            if isinstance(binding, ast.expr):
                return self.evaluate(binding, Scope(owner.module, dict(owner.closure), owner))
            if binding is not None:
                raise NotStaticError(f"{owner.name}.{name} is not a value")
        raise KeyError(name)

    def _created(self, definition: ClassDefinition) -> dict[str, Value]:
        """What `__init_subclass__` of a base set on a class when the class was created."""
        if definition not in self._set_on_creation:
            self._set_on_creation[definition] = {}
            hook = self._creation_hook(definition)
            if hook is not None:
                try:
                    self.call(hook, [], {})
                except NotStaticError as reason:
                    unknown = dict.fromkeys(assigned_attributes(hook.node), Unknown(str(reason)))
                    self._set_on_creation[definition] |= unknown
        return self._set_on_creation[definition]

    def _creation_hook(self, definition: ClassDefinition) -> FunctionDefinition | None:
        for base in self.order(definition)[1:]:
            node = own_attribute(base, "__init_subclass__")
            if isinstance(node, ast.FunctionDef):
                return FunctionDefinition(base.module, node, (definition,), base.closure)
        return None

    def set_attribute(self, definition: ClassDefinition, name: str, value: Value) -> None:
        """Set an attribute of a class that is being created.

        Raises:
            NotStaticError: the class has been created.
        """
        if definition not in self._set_on_creation:
            raise NotStaticError(f"{name} of {definition.name} is set after its creation")
        self._set_on_creation[definition][name] = value


def method(
    owner: ClassDefinition, node: ast.FunctionDef | ast.AsyncFunctionDef, taken_from: Value
) -> FunctionDefinition:
    """A function of a class body as it is when taken from the class or from an instance."""
    decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
    if "property" in decorators:
        raise NotStaticError(f"{owner.name}.{node.name} is a property")
    takes_first = "staticmethod" not in decorators and (
        "classmethod" in decorators or not isinstance(taken_from, ClassDefinition)
    )
    return FunctionDefinition(
        owner.module, node, (taken_from,) if takes_first else (), owner.closure
    )
