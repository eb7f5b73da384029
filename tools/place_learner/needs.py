"""Keys of config.json that a class reads and that its config class has no value for."""

from collections.abc import Iterable, Iterator
from typing import Any

from place_learner.settings import loaded
from place_learner.variants import Config


def paths(runtime: Any, config: Config, guessed: Iterable[str]) -> list[str]:
    """The path of every key in config.json, joined by dots.

    Args:
        runtime: see `learning`.
        config: that the class was built with.
        guessed: `CONFIG CLASS.KEY` of the values that had to be made up.
    """
    whole = loaded(runtime, config)
    found = {
        ".".join((*path, name))
        for key in guessed
        for owner, _, name in [key.rpartition(".")]
        for path in _parts(whole, config, owner, ())
    }
    return sorted(found)


def _parts(read: Any, values: Any, name: str, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of the parts of a config that a config class of this name reads."""
    from transformers import PretrainedConfig

    if not isinstance(values, dict):
        return
    if type(read).__name__ == name:
        yield path
    for key, part in vars(read).items():
        if isinstance(part, PretrainedConfig):
            yield from _parts(part, values.get(key), name, (*path, key))
