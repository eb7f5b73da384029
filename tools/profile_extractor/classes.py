"""The classes that a class inherits from, and where it finds an attribute."""

import ast
from collections.abc import Callable, Sequence

from profile_extractor.scopes import Binding
from profile_extractor.values import ClassDefinition, NotStaticError, show

BasesOf = Callable[[ClassDefinition], Sequence[ClassDefinition]]


def resolution_order(definition: ClassDefinition, bases_of: BasesOf) -> list[ClassDefinition]:
    """The class and its bases in the order in which Python searches them (C3).

    Args:
        definition: the class.
        bases_of: gives the bases that are in the release; others have no tables.

    Raises:
        NotStaticError: Python would refuse the class.
    """
    bases = list(bases_of(definition))
    chains = [resolution_order(base, bases_of) for base in bases] + [bases]
    order = [definition]
    while any(chains):
        tails = {later for chain in chains for later in chain[1:]}
        head = next((chain[0] for chain in chains if chain and chain[0] not in tails), None)
        if head is None:
            raise NotStaticError(f"{definition.name} has bases in no consistent order")
        order.append(head)
        chains = [chain[1:] if chain and chain[0] is head else chain for chain in chains]
    return order


def own_attribute(definition: ClassDefinition, name: str) -> Binding | None:
    """What the body of a class binds a name to; None when it does not.

    Raises:
        NotStaticError: the body changes the value after the assignment.
    """
    binding = definition.bindings.names.get(name)
    if binding is not None and name in definition.bindings.changed:
        raise NotStaticError(f"{definition.name} changes {name} after its assignment")
    return binding


def is_dataclass(definition: ClassDefinition) -> bool:
    """True when a class is declared with the standard library's decorator."""
    return any(
        show(d.func if isinstance(d, ast.Call) else d).split(".")[-1] == "dataclass"
        for d in definition.node.decorator_list
    )


def assigned_attributes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names of the attributes, of whatever object, that a function assigns."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
