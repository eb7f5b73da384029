"""A value of config.json taken away or replaced, also in the configs within it."""

import copy
from collections.abc import Iterator
from typing import Any, Final

from place_learner.settings_values import ABSENT, VALUES
from truth_loop.draft import Draft

_LEFT_OUT: Final = frozenset(
    {"architectures", "model_type", "transformers_version", "dtype", "torch_dtype", "auto_map"}
    | {"quantization_config", "_name_or_path", "id2label", "label2id"}
)
_OFTEN: Final = ("missing", "missing", "null", "null", "nested")
_KINDS: Final = (*VALUES, *_OFTEN)


def config_value(draft: Draft) -> str | None:
    """A key that is missing, null, empty, of another type, or in an object of its own."""
    places = list(_places(draft.config, ""))
    if not places:
        return None
    holder, key, name = draft.random.choice(places)
    kind = draft.random.choice(_KINDS)
    new = {key: holder[key]} if kind == "nested" else VALUES[kind]
    if new == holder[key]:
        return None
    if new is ABSENT:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(new)
    return f"{name}: {kind}"


def _places(values: dict[str, Any], start: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    for key, value in values.items():
        if key in _LEFT_OUT or key.isdigit():
            continue
        yield values, key, f"{start}{key}"
        if isinstance(value, dict) and start.count(".") < 2:
            yield from _places(value, f"{start}{key}.")


MUTATORS: Final = (config_value, config_value)
