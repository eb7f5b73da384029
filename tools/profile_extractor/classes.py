"""The classes that a class inherits from, and where it finds an attribute."""

import ast
from collections.abc import Callable, Sequence

from profile_extractor.scopes import Binding
from profile_extractor.values import ClassDefinition, NotStaticError, show

BasesOf = Callable[[ClassDefinition], Sequence[ClassDefinition]]


def resolution_order(definition: ClassDefinition, bases_of: BasesOf) -> list[ClassDefinition]:
    """The class and its bases in the order in which Python asks them (C3).

    Args:
        definition: the class.
        bases_of: gives the bases that stand in the release; others have no tables.

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


def find_attribute(
    order: Sequence[ClassDefinition], name: str
) -> tuple[ClassDefinition, Binding] | None:
    """The first class of an order whose body binds a name, and what to.

    Raises:
        NotStaticError: the body changes the value after the assignment.
    """
    for definition in order:
        binding = definition.bindings.names.get(name)
        if binding is not None:
            if name in definition.bindings.changed:
                raise NotStaticError(f"{definition.name} changes {name} after its assignment")
            return definition, binding
    return None


def is_dataclass(definition: ClassDefinition) -> bool:
    """True when a class is declared with the standard library's decorator."""
    return any(
        show(d.func if isinstance(d, ast.Call) else d).split(".")[-1] == "dataclass"
        for d in definition.node.decorator_list
    )
