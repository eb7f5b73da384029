"""Building with a config that lacks something: missing values are guessed, demands are obeyed."""

import time
from typing import Any, Final

from place_learner import configs, demands
from place_learner.guess import guess
from place_learner.variants import Config

_RETRIES: Final[tuple[Any, ...]] = (2, True, [1, 1], {}, "silu")
"""For an attribute that was guessed None, when None does not do."""
_STEPS: Final = 80
_SECONDS: Final = 45


class Notes:
    """What was made up to build with a config."""

    def __init__(self) -> None:
        self.guessed: dict[str, str] = {}
        self.obeyed: list[str] = []
        self.open: list[dict[str, Any]] = []
        self.done: set[tuple[str, str]] = set()

    @property
    def count(self) -> int:
        """Values that are not the config's own."""
        return len(self.guessed) + len(self.obeyed)


def build(runtime: Any, config: Config, architecture: str, extra: Config, notes: Notes) -> Any:
    """What the runtime built; `config` and `notes` change on the way.

    Args:
        runtime: see `learning`.
        config: as it is written; demands change it.
        architecture: as it is registered.
        notes: what was made up.
        extra: top-level values of config.json that are no part of the config.

    Raises:
        Exception: whatever the class raised in the end.
    """
    start = time.process_time()
    for _ in range(_STEPS):
        folder = configs.write(config, architecture, extra)
        try:
            return runtime.build(folder, config, architecture)
        except Exception as error:
            too_late = time.process_time() - start > _SECONDS
            if too_late or not (
                _missing(str(error), notes)
                or _set(demands.demanded(error), config, notes)
                or _set(demands.wrong_values(error), config, notes)
                or _next_guess(notes)
                or runtime.another_name(error)
            ):
                raise
    raise RuntimeError(f"no end of repairs after {_STEPS}")


def fill(text: str, notes: Notes) -> bool:
    """Guess the attribute that an error's text misses: loaders read configs as well."""
    return _missing(text, notes)


def _missing(text: str, notes: Notes) -> bool:
    """An attribute that a config class lacks: its guess becomes the class's default."""
    found = demands.MISSING.search(text)
    if not found:
        return False
    key = f"{found[1]}.{found[2]}"
    classes = _config_classes(found[1])
    if not classes or key in notes.guessed:
        return False
    name, value = found[2], guess(found[2])
    if name.endswith("_config") and name != "quantization_config":
        value = configs.invented_class()(architectures=["Qwen2ForCausalLM"])
    elif value is None and "scaling" not in name and "window" not in name:
        notes.open.append({"classes": classes, "name": name, "key": key, "tries": 0})
    notes.guessed[key] = repr(value)[:60]
    for config_class in classes:
        setattr(config_class, name, value)
    return True


def _next_guess(notes: Notes) -> bool:
    """Another value for the last attribute of which nothing was known."""
    while notes.open and notes.open[-1]["tries"] >= len(_RETRIES):
        notes.open.pop()
    if not notes.open:
        return False
    last = notes.open[-1]
    value = _RETRIES[last["tries"]]
    last["tries"] += 1
    notes.guessed[last["key"]] = repr(value)
    for config_class in last["classes"]:
        setattr(config_class, last["name"], value)
    return True


def _set(values: list[tuple[str, Any]], config: Config, notes: Notes) -> bool:
    """Put values into the config, each once."""
    new = [(k, v) for k, v in values if (k, repr(v)) not in notes.done]
    for key, value in new:
        notes.done.add((key, repr(value)))
        notes.obeyed.append(f"{key}={value!r}")
        put(config, key, value)
        setattr(configs.invented_class(), key, value)
    return bool(new)


def put(config: Config, key: str, value: Any) -> None:
    """Set a key wherever the config has it, sub-configs included.

    Where it is nowhere: at the top and in the sub-configs. `key` may be "part.key".
    """
    part, _, key = key.rpartition(".")
    if part:
        config.setdefault(part, {})[key] = value
    elif not _replace(config, key, value):
        inner = [v for k, v in config.items() if k.endswith("_config") and isinstance(v, dict)]
        for values in (config, *inner):
            values[key] = value


def _replace(values: Config, key: str, value: Any) -> bool:
    hit = key in values
    if hit:
        values[key] = value
    inner = [v for v in values.values() if isinstance(v, dict)]
    return any([hit, *(_replace(v, key, value) for v in inner)])


def _config_classes(name: str) -> list[Any]:
    """Every config class of that name: the library's and the runtime's."""
    from transformers import PretrainedConfig

    todo, seen = [PretrainedConfig], set()
    while todo:
        for config_class in todo.pop().__subclasses__():
            if config_class not in seen:
                seen.add(config_class)
                todo.append(config_class)
    return [c for c in seen if c.__name__ == name]
