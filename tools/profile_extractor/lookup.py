"""The definition that a name in a module of the release means, across imports."""

import ast
from functools import cache

from profile_extractor.scopes import Binding, Import, Package, read_bindings
from profile_extractor.source_tree import SourceTree
from profile_extractor.values import (
    ClassDefinition,
    External,
    FunctionDefinition,
    Module,
    NotStaticError,
)

Definition = Module | ClassDefinition | FunctionDefinition | External | tuple[Module, ast.expr]
"""What a name means; an expression comes with its module."""

_LONGEST_CHAIN = 20
"""Re-exports of a name; more of them are a circle."""


class Lookup:
    """Finds modules and definitions of one release; each module is parsed once."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._parsed = cache(self._parse)
        self._classes: dict[ast.ClassDef, ClassDefinition] = {}

    def module(self, name: str) -> Module | None:
        """The module of a dotted name; None where the release has no such Python file."""
        return self._parsed(name)

    def _parse(self, name: str) -> Module | None:
        stem = name.replace(".", "/")
        for path, is_package in ((f"{stem}.py", False), (f"{stem}/__init__.py", True)):
            file = self.tree.file(path)
            if file is not None:
                package = Package(name, is_package)
                body = ast.parse(file.read_bytes(), path).body
                return Module(name, path, package, read_bindings(body, package))
        return None

    def find(self, module: Module, name: str, _chain: int = 0) -> Definition:
        """What a name means in a module.

        Raises:
            NotStaticError: the module binds no such name, or changes its value in place.
        """
        if _chain > _LONGEST_CHAIN:
            raise NotStaticError(f"{module.path}: {name} is imported in a circle")
        binding = module.bindings.names.get(name)
        if binding is not None:
            return self._bound(module, name, binding, _chain)
        found = self.module(f"{module.name}.{name}") if module.package.is_package else None
        if found is not None:
            return found
        for star in module.bindings.star_imports:
            other = self.module(star)
            if other is not None and name in other.bindings.names:
                return self.find(other, name, _chain + 1)
        raise NotStaticError(f"{module.path} binds no name {name}")

    def imported(self, target: Import, _chain: int = 0) -> Definition:
        """What an import brings.

        Raises:
            NotStaticError: the module is of the release and binds no such name.
        """
        dotted = target.module if target.name is None else f"{target.module}.{target.name}"
        module = self.module(target.module)
        if module is None:
            return self.module(dotted) or External(dotted)
        if target.name is None:
            return module
        return self.find(module, target.name, _chain + 1)

    def class_definition(self, module: Module, node: ast.ClassDef) -> ClassDefinition:
        """The class of a statement at the top of a module; one object for each."""
        if node not in self._classes:
            bindings = read_bindings(node.body, module.package)
            self._classes[node] = ClassDefinition(module, node, bindings)
        return self._classes[node]

    def _bound(self, module: Module, name: str, binding: Binding, chain: int) -> Definition:
        match binding:
            case Import():
                return self.imported(binding, chain)
            case ast.ClassDef():
                return self.class_definition(module, binding)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return FunctionDefinition(module, binding)
            case _ if name in module.bindings.changed:
                raise NotStaticError(f"{module.path} changes {name} after its assignment")
            case _:
                return module, binding
