"""Functions of Python itself that tables in a runtime's source are made with."""

import ast
import copy
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from profile_extractor.values import (
    ClassDefinition,
    External,
    FunctionDefinition,
    Instance,
    Namespace,
    NotStaticError,
    Pattern,
    Value,
)


def _unique(values: Iterable[Value] = ()) -> Value:
    # In the order of the source, so that what is made of it does not change from run to run.
    return tuple(dict.fromkeys(values))


def _listed(function: Callable[..., Any]) -> Callable[..., Value]:
    return lambda *arguments: list(function(*arguments))


def _copied(value: Value) -> Value:
    return value if isinstance(value, Instance) else copy.deepcopy(value)


def _callable(value: Value) -> bool:
    return isinstance(value, FunctionDefinition | ClassDefinition)


def _signature(function: Value) -> Namespace:
    """`inspect.signature` of a function of the release: its parameters and their kinds."""
    if not isinstance(function, FunctionDefinition):
        raise NotStaticError(f"{function!r} is not a function of the release")
    arguments = function.node.args
    kinds: list[tuple[str, list[ast.arg]]] = [
        ("POSITIONAL_ONLY", arguments.posonlyargs),
        ("POSITIONAL_OR_KEYWORD", arguments.args),
        ("VAR_POSITIONAL", [arguments.vararg] if arguments.vararg else []),
        ("KEYWORD_ONLY", arguments.kwonlyargs),
        ("VAR_KEYWORD", [arguments.kwarg] if arguments.kwarg else []),
    ]
    parameters = {
        argument.arg: Namespace(
            {"name": argument.arg, "kind": External(f"inspect.Parameter.{kind}")}
        )
        for kind, group in kinds
        for argument in group
    }
    return Namespace({"parameters": parameters})


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "builtins.all": all,
    "builtins.any": any,
    "builtins.bool": bool,
    "builtins.callable": _callable,
    "builtins.dict": dict,
    "builtins.dict.fromkeys": dict.fromkeys,
    "builtins.enumerate": _listed(enumerate),
    "builtins.frozenset": _unique,
    "builtins.int": int,
    "builtins.len": len,
    "builtins.list": list,
    "builtins.max": max,
    "builtins.min": min,
    "builtins.next": lambda values: values[0],
    "builtins.range": _listed(range),
    "builtins.reversed": _listed(reversed),
    "builtins.set": _unique,
    "builtins.sorted": sorted,
    "builtins.str": str,
    "builtins.tuple": tuple,
    "builtins.zip": _listed(zip),
    "collections.OrderedDict": dict,
    "copy.copy": _copied,
    "copy.deepcopy": _copied,
    "inspect.signature": _signature,
    "re.compile": Pattern,
    "re.escape": re.escape,
    "regex.compile": Pattern,
    "regex.escape": re.escape,
    "types.MappingProxyType": dict,
}
"""By dotted name. A pattern with flags fails: a profile has no place for flags."""

METHODS: Final[dict[type, frozenset[str]]] = {
    dict: frozenset(("copy", "get", "items", "keys", "pop", "setdefault", "update", "values")),
    list: frozenset(("append", "copy", "extend", "index", "insert")),
    tuple: frozenset(("index",)),
    str: frozenset(
        (
            "endswith",
            "format",
            "join",
            "lower",
            "lstrip",
            "removeprefix",
            "removesuffix",
            "replace",
            "rstrip",
            "split",
            "startswith",
            "strip",
            "upper",
        )
    ),
}
"""Methods of plain values that may be called."""
