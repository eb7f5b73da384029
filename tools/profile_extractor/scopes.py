"""What the names in a module, a class body or a function mean, read without running it."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from profile_extractor.platforms import platform_truth


@dataclass(frozen=True)
class Import:
    """`from module import name`; without a name, the module itself."""

    module: str
    name: str | None = None


Binding: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr | Import


@dataclass
class Bindings:
    """The names that a body binds."""

    names: dict[str, Binding] = field(default_factory=dict)
    star_imports: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Names whose value is changed in place after it was bound."""
    likelihood: dict[str, int] = field(default_factory=dict)

    def bind(self, name: str, binding: Binding, likelihood: int) -> None:
        """Note a binding: the likeliest branch wins, in it the last statement."""
        if likelihood >= self.likelihood.get(name, likelihood):
            self.names[name] = binding
            self.likelihood[name] = likelihood


@dataclass(frozen=True)
class Package:
    """Where relative imports of a module start from."""

    module: str
    is_package: bool

    def absolute(self, statement: ast.ImportFrom) -> str:
        """The module that a `from ... import` names."""
        if not statement.level:
            return statement.module or ""
        parts = self.module.split(".")
        keep = len(parts) - statement.level + (1 if self.is_package else 0)
        return ".".join([*parts[:keep], *([statement.module] if statement.module else [])])


def read_bindings(body: Iterable[ast.stmt], package: Package) -> Bindings:
    """The names that a body binds, also inside `if`, `try`, `with` and loops."""
    bindings = Bindings()
    _read(body, package, bindings, 0)
    return bindings


def imports(
    statement: ast.Import | ast.ImportFrom, package: Package
) -> Iterator[tuple[str, Import]]:
    """The names that an import binds; `*` for all of a module."""
    if isinstance(statement, ast.ImportFrom):
        module = package.absolute(statement)
        yield from ((a.asname or a.name, Import(module, a.name)) for a in statement.names)
        return
    for alias in statement.names:
        root = alias.name.split(".")[0]
        yield (alias.asname, Import(alias.name)) if alias.asname else (root, Import(root))


def _read(body: Iterable[ast.stmt], package: Package, into: Bindings, likelihood: int) -> None:
    for statement in body:
        reader = _READERS.get(type(statement))
        if reader is not None:
            reader(statement, package, into, likelihood)


def _definition(statement: ast.stmt, _package: Package, into: Bindings, likelihood: int) -> None:
    assert isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    into.bind(statement.name, statement, likelihood)


def _assignment(statement: ast.stmt, _package: Package, into: Bindings, likelihood: int) -> None:
    assert isinstance(statement, ast.Assign | ast.AnnAssign)
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        if isinstance(target, ast.Name) and statement.value is not None:
            into.bind(target.id, statement.value, likelihood)
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            into.changed.add(target.value.id)


def _change(statement: ast.stmt, _package: Package, into: Bindings, _likelihood: int) -> None:
    match statement:
        case ast.AugAssign(target=ast.Name(id=name)):
            into.changed.add(name)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            into.changed.add(name)
        case ast.Delete(targets=targets):
            into.changed.update(
                target.value.id
                for target in targets
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)
            )


def _import(statement: ast.stmt, package: Package, into: Bindings, likelihood: int) -> None:
    assert isinstance(statement, ast.Import | ast.ImportFrom)
    for name, target in imports(statement, package):
        if name == "*":
            into.star_imports.append(target.module)
        else:
            into.bind(name, target, likelihood)


def _branches(statement: ast.stmt, package: Package, into: Bindings, likelihood: int) -> None:
    match statement:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            # If a package loads its classes lazily, only this shows where they are.
            _read(statement.body, package, into, likelihood - 1)
            _read(statement.orelse, package, into, likelihood)
        case ast.If(test=test):
            truth = platform_truth(test)
            if truth is not False:
                _read(statement.body, package, into, likelihood)
            if truth is not True:
                _read(statement.orelse, package, into, likelihood)
        case ast.Try():
            _read(statement.body, package, into, likelihood)
            for handler in statement.handlers:
                _read(handler.body, package, into, likelihood - 1)
            _read([*statement.orelse, *statement.finalbody], package, into, likelihood)
        case ast.With() | ast.For():
            _read(statement.body, package, into, likelihood)


_READERS: Final[dict[type[ast.stmt], Callable[[ast.stmt, Package, Bindings, int], None]]] = {
    ast.ClassDef: _definition,
    ast.FunctionDef: _definition,
    ast.AsyncFunctionDef: _definition,
    ast.Assign: _assignment,
    ast.AnnAssign: _assignment,
    ast.AugAssign: _change,
    ast.Expr: _change,
    ast.Delete: _change,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.If: _branches,
    ast.Try: _branches,
    ast.With: _branches,
    ast.For: _branches,
}
