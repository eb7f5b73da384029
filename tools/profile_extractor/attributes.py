"""The attribute of a value, as the runtime would find it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from profile_extractor.python_functions import METHODS
from profile_extractor.values import (
    BoundMethod,
    ClassDefinition,
    External,
    Instance,
    Module,
    Namespace,
    Value,
)

if TYPE_CHECKING:
    from profile_extractor.interpreter import Interpreter


def get_attribute(interpreter: "Interpreter", value: Value, name: str) -> Value:
    """An attribute of a value.

    Raises:
        KeyError: it has none of that name.
        NotStaticError: the source alone does not show it.
    """
    finder = _FINDERS.get(type(value))
    if finder is not None:
        return finder(interpreter, value, name)
    if name in METHODS.get(type(value), ()):
        return BoundMethod(getattr(value, name))
    raise KeyError(name)


def _of_class(interpreter: "Interpreter", value: ClassDefinition, name: str) -> Value:
    if name == "__name__":
        return value.name
    if name == "__mro__":
        return tuple(interpreter.order(value))
    return interpreter.attribute(value, name)


def _of_module(interpreter: "Interpreter", value: Module, name: str) -> Value:
    return interpreter.module_name(value, name)


def _of_external(_interpreter: "Interpreter", value: External, name: str) -> Value:
    return External(f"{value.name}.{name}")


def _of_namespace(_interpreter: "Interpreter", value: Namespace, name: str) -> Value:
    return value.attributes[name]


def _of_instance(interpreter: "Interpreter", value: Instance, name: str) -> Value:
    if name in value.fields:
        return value.fields[name]
    return interpreter.attribute(value.definition, name, value)


_FINDERS: Final[dict[type, Callable[["Interpreter", Any, str], Value]]] = {
    ClassDefinition: _of_class,
    Module: _of_module,
    External: _of_external,
    Namespace: _of_namespace,
    Instance: _of_instance,
}
