"""Record what the config classes of transformers, and a runtime's own, make of config.json.

    tools/record_config_classes.py OUT.json      with a Python that has that transformers
    tools/record_config_classes.py OUT.json --runtime vllm --version 0.33.0 --root FOLDER

Both runtimes read config.json through these classes before they build a layer. From release 5 on
their fields are typed, so that a null or a string in the wrong place stops them; a key that is
missing gets the default of the class. Every field is tried with values of every kind of JSON, in a
config that has the defaults otherwise. Recorded are the classes of models that generate text, and
those of the configs within them; with `--runtime` those that the runtime registers itself, which
needs the environment of `place_learner/setup.sh` (`--transformers`: folder of the release). The
library's class reads a config before SGLang's own of that type does; only the latter is recorded.
"""

import argparse
import dataclasses
import inspect
import json
import logging
import os
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

LIBRARY: Final = (
    Path(__file__).resolve().parents[1] / "src" / "ckptfix" / "runtimes" / "config_classes"
)
KINDS: Final[Mapping[str, tuple[Any, ...]]] = {
    "null": (None,),
    "bool": (True,),
    "int": (1,),
    "float": (0.5,),
    "string": ("made up",),
    "empty string": ("",),
    "list": ([1], ["made up"], [0.5], [True], [[1]], [{}]),
    "empty list": ([],),
    "object": ({"made up": 1}, {"made up": "made up"}, {"made up": {}}),
    "empty object": ({},),
}
"""Kind of JSON value -> some that are tried; a kind is refused where all of them are."""
STRICT: Final = "StrictDataclassFieldValidationError"
IGNORED: Final = {"architectures", "model_type", "transformers_version", "_name_or_path", "dtype"}
"""Keys that every config has, or that are no settings of a model."""
_SCALARS: Final = {"bool", "int", "float", "string"}
_ROPE: Final[Mapping[str, Any]] = {
    "factor": 2.0,
    "original_max_position_embeddings": 64,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "short_factor": [1.0],
    "long_factor": [1.0],
}
_ROPE_TYPES: Final = ("default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional")


def refused(config_class: Any, whole: dict[str, Any], key: str, *, within: bool) -> list[str]:
    """The kinds of value that the class refuses for a key.

    For null every exception counts; of the others only what the type of the field refuses, because
    the value that is tried means nothing.

    Args:
        config_class: of the library or a runtime.
        whole: its defaults.
        key: the field.
        within: a config is there, for which every exception counts; objects mean nothing.
    """
    found = []
    for kind, values in KINDS.items():
        errors = [_error(config_class, {**whole, key: value}) for value in values]
        counts = kind == "null" or (within and kind != "object")
        if all(error == STRICT or (counts and error) for error in errors):
            found.append(kind)
    if not within and set(found) >= _SCALARS:
        found.remove("string")  # others may be among the strings that it names
    return found


def _error(config_class: Any, values: dict[str, Any]) -> str:
    """Name of the exception; empty where it takes the values."""
    try:
        config_class.from_dict(values)
    except Exception as error:
        return type(error).__name__
    return ""


def record(config_class: Any, base: frozenset[str], name_of: Any) -> dict[str, Any]:
    """What one class does.

    Args:
        config_class: of the library or a runtime.
        base: fields that every class has.
        name_of: class -> name in the file.

    Raises:
        Exception: the class has no defaults.
    """
    defaults = _defaults(config_class)
    nested = {key: name_of(inner) for key, inner in _nested(config_class)}
    refuses: dict[str, list[str]] = {}
    whole = config_class().to_dict()
    for key in sorted((defaults.keys() | nested.keys()) - IGNORED):
        kinds = "|".join(refused(config_class, whole, key, within=key in nested))
        if kinds:
            refuses.setdefault(kinds, []).append(key)
    own = defaults.keys() - nested.keys() - IGNORED
    own -= base - {key for c in config_class.__mro__[:-1] for key in _declared(c)}
    aliases = dict(sorted((getattr(config_class, "attribute_map", {}) or {}).items()))
    numbers = {aliases.get(key, key): defaults[key] for key in sorted(own)}
    return {
        "aliases": aliases,
        "nested": nested,
        "numbers": {k: v for k, v in numbers.items() if type(v) is int and "token" not in k},
        "refuses": refuses,
        "checks_rope": _checks_rope(config_class),
        "follows": follows(config_class),
    }


def _defaults(config_class: Any) -> dict[str, Any]:
    """Fields of a class, or arguments of one that has its own way to be made."""
    found = {field.name: field.default for field in dataclasses.fields(config_class)}
    for ancestor in reversed(config_class.__mro__):
        if "__init__" in vars(ancestor) and ancestor.__module__.partition(".")[0] not in _LIBRARY:
            arguments = inspect.signature(ancestor.__init__).parameters.values()
            found |= {
                argument.name: argument.default
                for argument in arguments
                if argument.name != "self"
                and argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
            }
    return found


_LIBRARY: Final = ("transformers", "builtins", "huggingface_hub")


def _nested(config_class: Any) -> Iterator[tuple[str, Any]]:
    """Key -> class of every config within; a class of no type where the config names it."""
    from transformers import PreTrainedConfig

    declared = getattr(config_class, "sub_configs", {}) or {}
    yield from declared.items()
    for key in _defaults(config_class).keys() - declared.keys():
        value = vars(config_class()).get(key)  # attributes of Gemma 4 may raise
        if isinstance(value, PreTrainedConfig):
            yield key, type(value)


def _checks_rope(config_class: Any) -> bool:
    """Whether it refuses rotary settings without what their type needs."""
    fields = _defaults(config_class)
    if "rope_parameters" not in fields and "rope_scaling" not in fields:
        return False
    whole = config_class().to_dict()
    whole.pop("rope_parameters", None)
    lacking = {"rope_type": "yarn", "rope_theta": 10000.0}
    return _error(config_class, {**whole, "rope_scaling": lacking}) == "KeyError"


def follows(config_class: Any) -> dict[str, str]:
    """Key that has no default -> the one whose number it takes where it is missing or null."""
    made, found = config_class(), {}
    numbers = {k: v for k in _defaults(config_class) if type(v := vars(made).get(k)) is int}
    for key, default in _defaults(config_class).items():
        for other in numbers if default is None and key in numbers else ():
            if other != key and all(
                _number(config_class, key, {other: times * numbers[other]})
                == times * numbers[other]
                for times in (1, 2, 4)
            ):
                found[key] = other
    return found


def _number(config_class: Any, key: str, values: dict[str, Any]) -> Any:
    """What a class has for a key; None where it refuses the values."""
    try:
        return vars(config_class.from_dict(values)).get(key)
    except Exception:
        return None


def rope(config_class: Any) -> dict[str, list[str]]:
    """Type of rotary settings -> keys without which they are refused."""
    found: dict[str, list[str]] = {}
    for type_ in _ROPE_TYPES:
        for key in _ROPE:
            settings = {"rope_type": type_, **{k: v for k, v in _ROPE.items() if k != key}}
            if _error(config_class, {"rope_scaling": settings, "rope_theta": 1e4}) == "KeyError":
                found.setdefault(type_, []).append(key)
    return found


def _declared(config_class: Any) -> set[str]:
    if config_class.__name__ == "PreTrainedConfig":
        return set()
    return set(inspect.get_annotations(config_class))


class Recorder:
    """The classes of a file, and those of the configs within them."""

    def __init__(
        self,
        readers: Mapping[str, Any],
        known: Mapping[str, Any],
        recorded: Collection[str] = (),
    ) -> None:
        """Nothing is tried yet.

        Args:
            readers: model_type -> class that reads it.
            known: model_type -> class that reads a config of that type within another.
            recorded: types that another file has, unless `readers` names them.
        """
        from transformers import PreTrainedConfig

        self._todo, self._known, self._recorded = dict(readers), known, recorded
        self._within: dict[str, Any] = {}
        self._base = frozenset(getattr(PreTrainedConfig, "__dataclass_fields__", {}))

    def classes(self) -> dict[str, Any]:
        """Name -> record; None for a class that has no defaults."""
        found: dict[str, Any] = {}
        while self._todo:
            name, config_class = self._todo.popitem()
            try:
                found[name] = record(config_class, self._base, self._name_of)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
                found[name] = None
            for inner in found[name]["nested"].values() if found[name] else ():
                if inner and inner not in found and inner not in self._recorded:
                    self._todo.setdefault(inner, self._within[inner])
        return found

    def _name_of(self, config_class: Any) -> str:
        model_type = getattr(config_class, "model_type", "") or ""
        if not model_type:
            return ""
        same = model_type in self._known and self._known[model_type] is config_class
        name = model_type if same else str(config_class.__name__)
        self._within[name] = config_class
        return name


class Own(dict[str, Any]):
    """model_type -> class: a runtime's own before the library's."""

    def __init__(self, registry: Any, mapping: Any) -> None:
        """Classes are imported where they are asked for.

        Args:
            registry: of the runtime.
            mapping: of the library.
        """
        super().__init__()
        self._registry, self._mapping = registry, mapping

    def __contains__(self, name: object) -> bool:
        return name in self._registry or name in self._mapping

    def __getitem__(self, name: str) -> Any:
        return self._registry[name] if name in self._registry else self._mapping[name]


def library() -> dict[str, Any]:
    """The file of the transformers release that is installed."""
    import transformers
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    names = sorted(
        set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)
    )
    readers = {name: CONFIG_MAPPING[name] for name in names if name in CONFIG_MAPPING}
    head = {"transformers": transformers.__version__, "rope": rope(transformers.LlamaConfig)}
    return {**head, "classes": Recorder(readers, CONFIG_MAPPING).classes()}


def own_classes(runtime: str, version: str, root: Path, transformers: Path) -> dict[str, Any]:
    """The file of a runtime's own classes."""
    from place_learner import sandbox

    sandbox.prepare(transformers)
    from place_learner.__main__ import _runtime

    registry = _runtime(runtime, root).config_registry()
    import transformers as used
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    readers = {name: registry[name] for name in sorted(registry)}
    head = {"transformers": used.__version__, "runtime": f"{runtime} {version}"}
    file = LIBRARY / f"transformers-{used.__version__}.json"
    recorded = json.loads(file.read_text("utf-8"))["classes"].keys()
    known = Own(registry, CONFIG_MAPPING)
    return {**head, "classes": Recorder(readers, known, recorded).classes()}


def main() -> int:
    """Write what every class does; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--runtime", choices=("vllm", "sglang"))
    parser.add_argument("--version", help="of the runtime")
    parser.add_argument("--root", type=Path, help="the unpacked wheel of the runtime")
    parser.add_argument("--transformers", type=Path, help="folder of the release it is read with")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if asked.runtime:
        made = own_classes(asked.runtime, asked.version, asked.root.resolve(), asked.transformers)
    else:
        made = library()
    classes = made.pop("classes")
    lines = [f"{json.dumps(n)}: {json.dumps(classes[n])}" for n in sorted(classes)]
    text = ",\n".join(lines)
    asked.out.write_text(f'{json.dumps(made)[:-1]}, "classes": {{\n{text}\n}}}}\n')
    print(f"{len(classes)} classes")
    sys.stdout.flush()
    os._exit(0)  # what the runtimes start need not end in order


if __name__ == "__main__":
    sys.exit(main())
