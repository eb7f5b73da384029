"""Keys of config.json without which a class reads no value, or another than it was learned with."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from place_learner.settings import loaded
from place_learner.settings_proof import put
from place_learner.settings_values import ABSENT, Path_
from place_learner.variants import Config

_ELSEWHERE: Final = ("tie_word_embeddings", "model_type")
"""Keys of which it is known otherwise what a class makes of a missing one."""


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


def of_other_default(runtime: Any, config: Config, tried: Iterable[str]) -> list[str]:
    """Those of the keys whose default is not the value in the config.

    Args:
        runtime: see `learning`.
        config: a published one.
        tried: paths joined by dots, whose values make a difference.
    """
    split = {name: tuple(name.split(".")) for name in tried if not name.endswith(_ELSEWHERE)}
    return sorted(
        name
        for name, path in split.items()
        if _read(loaded(runtime, put(config, path, ABSENT)), path) != _read(config, path)
    )


def _read(values: Any, path: Path_) -> Any:
    """The value at a path of a config, or of the object that a class makes of it."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else getattr(values, key, None)
    return values
