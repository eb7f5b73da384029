"""Record what the config classes of a transformers release make of config.json.

    tools/record_config_classes.py OUT.json      with a Python that has that transformers

Both runtimes read config.json through these classes before they build a layer. From release 5 on
their fields are typed, so that a null or a string in the wrong place stops them; a key that is
missing gets the default of the class. Every field is tried with a value of every kind of JSON, in a
config that has the defaults otherwise. Recorded are the classes of models that generate text, and
those of the configs within them.
"""

import inspect
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any, Final

KINDS: Final = {
    "null": None,
    "bool": True,
    "int": 1,
    "float": 0.5,
    "string": "made up",
}
"""Kind of JSON value -> one that is tried; of lists and objects the contents count as well."""
STRICT: Final = "StrictDataclassFieldValidationError"
IGNORED: Final = {"architectures", "model_type", "transformers_version", "_name_or_path", "dtype"}
"""Keys that every config has, or that are no settings of a model."""


def refused(config_class: Any, whole: dict[str, Any], key: str) -> list[str]:
    """The kinds of value that the class refuses for a key.

    For null every exception counts; of the others only what the type of the field refuses, because
    the value that is tried means nothing.
    """
    found = []
    for kind, value in KINDS.items():
        try:
            config_class.from_dict({**whole, key: value})
        except Exception as error:
            if kind == "null" or type(error).__name__ == STRICT:
                found.append(kind)
    if {"bool", "int", "float"} <= set(found) and "string" in found:
        found.remove("string")  # others may be among the strings that it names
    return found


def record(config_class: Any, base: frozenset[str]) -> dict[str, Any]:
    """What one class does.

    Args:
        config_class: of the library.
        base: fields that every class has.
    """
    defaults = {
        key: field.default
        for key, field in getattr(config_class, "__dataclass_fields__", {}).items()
    }
    fields = set(defaults)
    whole = config_class().to_dict()
    nested = {
        key: getattr(inner, "model_type", "") or ""
        for key, inner in (getattr(config_class, "sub_configs", {}) or {}).items()
    }
    own = (fields | set(whole)) - set(nested) - IGNORED
    own -= base - {key for c in config_class.__mro__[:-1] for key in _declared(c)}
    refuses: dict[str, list[str]] = {}
    for key in sorted(own & fields):
        kinds = "|".join(refused(config_class, whole, key))
        if kinds:
            refuses.setdefault(kinds, []).append(key)
    aliases = dict(sorted((getattr(config_class, "attribute_map", {}) or {}).items()))
    numbers = {aliases.get(key, key): defaults[key] for key in sorted(own & fields)}
    return {
        "aliases": aliases,
        "nested": nested,
        "numbers": {k: v for k, v in numbers.items() if type(v) is int and "token" not in k},
        "refuses": refuses,
    }


def _declared(config_class: Any) -> set[str]:
    if config_class.__name__ == "PreTrainedConfig":
        return set()
    return set(inspect.get_annotations(config_class))


def main() -> int:
    """Write what every class does; the exit code."""
    import transformers
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity(50)
    base = frozenset(getattr(transformers.PreTrainedConfig, "__dataclass_fields__", {}))
    todo = sorted(
        set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)
    )
    classes: dict[str, Any] = {}
    while todo:
        model_type = todo.pop()
        if model_type in classes:
            continue
        try:
            classes[model_type] = record(CONFIG_MAPPING[model_type], base)
        except Exception as error:
            print(f"{model_type}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
            continue
        todo += filter(None, classes[model_type]["nested"].values())
    lines = [f"{json.dumps(n)}: {json.dumps(classes[n])}" for n in sorted(classes)]
    text = ",\n".join(lines)
    release = json.dumps(transformers.__version__)
    Path(sys.argv[1]).write_text(f'{{"transformers": {release}, "classes": {{\n{text}\n}}}}\n')
    print(f"{len(classes)} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
