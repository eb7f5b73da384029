"""What an expression of a runtime's source can evaluate to, besides plain Python values."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from profile_extractor.scopes import Bindings, Package

Value: TypeAlias = object
"""A plain Python value (text, number, list, tuple, dict, None), or one of the classes below."""


class NotStaticError(Exception):
    """The source alone does not show it; the message says what prevented it."""


@dataclass(frozen=True, eq=False)
class Module:
    """A module of the release."""

    name: str
    path: str
    """In the wheel, with slashes."""
    package: Package
    bindings: Bindings


@dataclass(frozen=True, eq=False)
class ClassDefinition:
    """A class of the release."""

    module: Module
    node: ast.ClassDef
    bindings: Bindings
    closure: Mapping[str, Value] = field(default_factory=dict)
    """Names around it where a function defines it."""

    @property
    def name(self) -> str:
        """Name in the source."""
        return self.node.name


@dataclass(frozen=True, eq=False)
class FunctionDefinition:
    """A function of the release."""

    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef
    bound: tuple[Value, ...] = ()
    """The class or the instance that a method was taken from."""
    closure: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class External:
    """Something of another package, by its dotted name."""

    name: str


@dataclass(frozen=True, eq=False)
class Instance:
    """An instance of a dataclass of the release, such as its WeightsMapper."""

    definition: ClassDefinition
    fields: Mapping[str, Value]


@dataclass(frozen=True)
class Pattern:
    """A compiled regular expression."""

    text: str


@dataclass(frozen=True, eq=False)
class Namespace:
    """An object of the standard library with only some known attributes."""

    attributes: Mapping[str, Value]


@dataclass(frozen=True)
class BoundMethod:
    """A method of a plain Python value."""

    call: Callable[..., Any]


@dataclass(frozen=True)
class Unknown:
    """A value that only a running model has, such as its config."""

    reason: str


@dataclass(frozen=True)
class Scope:
    """The place of an expression."""

    module: Module
    names: dict[str, Value] = field(default_factory=dict)
    """Parameters and local variables."""
    owner: ClassDefinition | None = None
    """The class whose body contains it."""

    def inside(self) -> "Scope":
        """A scope in this one, which does not leak what it binds."""
        return Scope(self.module, dict(self.names), self.owner)


def show(node: ast.AST) -> str:
    """Source of a node in one line, for messages."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
