"""What a config class makes of values: tried on the class, one value at a time."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

from place_learner.refused_kinds import error_of, refused

STRICT_CLASS: Final = "StrictDataclassClassValidationError"
_LISTED: Final = {"layer_types": "full_attention", "mlp_layer_types": "dense"}
"""Key of a list -> a kind that every class takes."""
ABSENT: Final = object()
IGNORED: Final = {"architectures", "model_type", "transformers_version", "_name_or_path", "dtype"}
"""Keys that every config has, or that are no settings of a model."""
_ROPE: Final[Mapping[str, Any]] = {
    "factor": 2.0,
    "original_max_position_embeddings": 64,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "short_factor": [1.0],
    "long_factor": [1.0],
}
_ROPE_TYPES: Final = ("default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional")


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
        kinds = "|".join(sorted(refused(config_class, whole, key, within=key in nested)))
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
        "layer_lists": layer_lists(config_class),
        "lists_drafts": lists_drafts(config_class),
        "follows": follows(config_class),
        "from_around": from_around(config_class),
        "by_type": by_type(config_class),
        "left_null": left_null(config_class),
    }


def layer_lists(config_class: Any) -> list[str]:
    """Keys of lists that it refuses without one of `layer_kinds` for every layer."""
    whole = config_class().to_dict()
    number = whole.get("num_hidden_layers")
    if type(number) is not int:
        return []
    found = []
    for key, kind in _LISTED.items():
        tried = ([kind] * number, [kind] * (number + 1), ["made up"] * number)
        errors = tuple(error_of(config_class, {**whole, key: kinds}) for kinds in tried)
        if errors == ("", STRICT_CLASS, STRICT_CLASS):
            found.append(key)
    return found


def lists_drafts(config_class: Any) -> bool:
    """Whether these lists may go on with the layers that `num_nextn_predict_layers` counts."""
    keys = layer_lists(config_class)
    whole = {**config_class().to_dict(), "num_nextn_predict_layers": 1}
    longer = {key: [_LISTED[key]] * (whole["num_hidden_layers"] + 1) for key in keys}
    return bool(keys) and not error_of(config_class, {**whole, **longer})


def layer_kinds(config_class: Any) -> dict[str, list[str]]:
    """Key of such a list -> the kinds that it may hold.

    Args:
        config_class: one with such lists.
    """
    from transformers import configuration_utils as library

    names = (
        *library.ALLOWED_LAYER_TYPES,
        *library._LEGACY_LAYER_TYPE_REMAP,
    )
    whole = config_class().to_dict()
    number = whole["num_hidden_layers"]
    return {
        key: [n for n in names if not error_of(config_class, {**whole, key: [n] * number})]
        for key in layer_lists(config_class)
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
    return error_of(config_class, {**whole, "rope_scaling": lacking}) == "KeyError"


def follows(config_class: Any) -> dict[str, str]:
    """Key -> the one whose number it takes where it is null, or missing if it has no default."""
    made, found = config_class(), {}
    numbers = {k: v for k in _defaults(config_class) if type(v := vars(made).get(k)) is int}
    for key, default in _defaults(config_class).items():
        absent = {} if default is None else {key: None}
        for other in filter(numbers.get, numbers) if key in numbers else ():
            if other != key and all(
                _number(config_class, key, {**absent, other: times * numbers[other]})
                == times * numbers[other]
                for times in (1, 2, 4)
            ):
                found[key] = other
    return found


def from_around(config_class: Any) -> list[str]:
    """Keys of configs that have the values around them where they are missing or null."""
    return sorted(key for key, _ in _nested(config_class) if _takes(config_class, key))


def _takes(config_class: Any, key: str) -> bool:
    inner = vars(config_class()).get(key)
    known = vars(inner) if inner is not None else {}
    number = next((k for k in ("hidden_size", "vocab_size") if type(known.get(k)) is int), "")
    told = {number: 2 * known[number]} if number else {}
    return bool(told) and all(
        _within(config_class, key, number, {**told, **given}) == told[number]
        for given in ({}, {key: None})
    )


def _within(config_class: Any, key: str, number: str, values: dict[str, Any]) -> Any:
    """What the config under a key has of a number; None where the class refuses the values."""
    try:
        return vars(vars(config_class.from_dict(values))[key]).get(number)
    except Exception:
        return None


def by_type(config_class: Any) -> dict[str, str]:
    """Key of a config whose class is looked up by its type -> the type where that is missing.

    Empty where the class refuses a config without; it refuses null.
    """
    whole, found = config_class().to_dict(), {}
    if error_of(config_class, whole):
        return {}
    for key, inner in _nested(config_class):
        if not getattr(inner, "model_type", "") and _type(config_class, whole, key, None) is None:
            type_ = _type(config_class, whole, key, ABSENT)
            if type_ or (type_ is None and whole.get(key)):  # else it may be refused as it is
                found[key] = type_ or ""
    return found


def _type(config_class: Any, whole: dict[str, Any], key: str, given: Any) -> str | None:
    """Type of the class that reads a config within; None where it is refused.

    Args:
        config_class: of the config around it.
        whole: its defaults.
        key: of the config within.
        given: the type there.
    """
    part = {k: v for k, v in (whole.get(key) or {"made up": 1}).items() if k != "model_type"}
    if given is not ABSENT:
        part["model_type"] = given
    try:
        made = config_class.from_dict({**whole, key: part})
    except Exception:
        return None
    return str(getattr(vars(made).get(key), "model_type", "") or "")


def left_null(config_class: Any) -> list[str]:
    """Keys of configs within it that stay null where they are null."""
    whole, found = config_class().to_dict(), []
    for key, _ in _nested(config_class):
        try:
            made = config_class.from_dict({**whole, key: None})
        except Exception:
            continue
        if vars(made).get(key, made) is None:
            found.append(key)
    return sorted(found)


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
            if error_of(config_class, {"rope_scaling": settings, "rope_theta": 1e4}) == "KeyError":
                found.setdefault(type_, []).append(key)
    return found


def _declared(config_class: Any) -> set[str]:
    if config_class.__name__ == "PreTrainedConfig":
        return set()
    return set(inspect.get_annotations(config_class))
