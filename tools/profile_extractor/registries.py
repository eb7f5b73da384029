"""Which architectures a release registers, and the class of each."""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from ckptfix.errors import CkptfixError
from profile_extractor.interpreter import Interpreter
from profile_extractor.values import ClassDefinition, Module, NotStaticError, Scope, Value

Registered = Iterator[tuple[str, ClassDefinition | NotStaticError]]
"""Architecture and class, or why the class was not found."""


@dataclass(frozen=True)
class Conventions:
    """How a runtime marks what a profile holds."""

    registered: Callable[[Interpreter], Registered]
    mapper: str
    """Class attribute with the config-side name mapper."""
    mapper_method: str | None = None
    """Class method that gives the mapper for a config; where there is one, it decides."""
    quantized_marker: str | None = None
    """Base class of those whose tables reach the metadata wherever they are built."""


def _vllm(interpreter: Interpreter) -> Registered:
    """`_VLLM_MODELS` of the registry module: architecture -> (module, class)."""
    folder = "vllm.model_executor.models"
    module = _module(interpreter, f"{folder}.registry")
    models = interpreter.module_name(module, "_VLLM_MODELS")
    if not isinstance(models, Mapping):
        raise CkptfixError(f"{module.path}: _VLLM_MODELS is not a dict")
    for architecture, (name, class_name) in models.items():
        dotted = name if name.startswith("vllm.") else f"{folder}.{name}"
        yield architecture, _class(interpreter, dotted, class_name)


def _sglang(interpreter: Interpreter) -> Registered:
    """`EntryClass`, a class or a list of classes, of each module in the models folder."""
    for file in interpreter.lookup.tree.names("sglang/srt/models"):
        if not file.endswith(".py") or file == "__init__.py":
            continue
        module = _module(interpreter, f"sglang.srt.models.{file.removesuffix('.py')}")
        entry = module.bindings.names.get("EntryClass")
        if isinstance(entry, ast.List | ast.Tuple):
            entries = entry.elts
        else:
            entries = [entry] if isinstance(entry, ast.expr) else []
        for node in entries:
            name = node.id if isinstance(node, ast.Name) else ast.unparse(node)
            found = _as_class(partial(interpreter.evaluate, node, Scope(module)))
            yield (found.name if isinstance(found, ClassDefinition) else name), found


def _module(interpreter: Interpreter, name: str) -> Module:
    module = interpreter.lookup.module(name)
    if module is None:
        raise CkptfixError(
            f"{interpreter.lookup.tree.wheel}: there is no module {name}",
            advice="unpack the whole wheel; if it is whole, this release registers its models "
            "in another way, and tools/profile_extractor/registries.py has to learn it",
        )
    return module


def _class(interpreter: Interpreter, module: str, name: str) -> ClassDefinition | NotStaticError:
    found = interpreter.lookup.module(module)
    if found is None:
        return NotStaticError(f"there is no module {module}")
    return _as_class(partial(interpreter.module_name, found, name))


def _as_class(find: Callable[[], Value]) -> ClassDefinition | NotStaticError:
    try:
        value = find()
    except NotStaticError as reason:
        return reason
    if isinstance(value, ClassDefinition):
        return value
    return NotStaticError(f"{value!r} is not a class of the release")


CONVENTIONS: Final[dict[str, Conventions]] = {
    "vllm": Conventions(_vllm, "hf_to_vllm_mapper", quantized_marker="SupportsQuant"),
    "sglang": Conventions(_sglang, "hf_to_sglang_mapper", mapper_method="get_hf_to_sglang_mapper"),
}
"""By runtime, as its project is named on PyPI."""
