"""Values of config.json that a class compares with each other, and stops where they differ.

The files `<runtime>/equations.toml` were written by reading the releases.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.config_classes import ConfigClass, values_by_path
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.size_expressions import size_in
from ckptfix.runtimes.toml_folder import facts_of


class Equation(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """One `[[equations]]` table."""

    source: str
    """Source: project, version, file."""
    architectures: tuple[str, ...]
    versions: str
    """Releases that compare them, a PEP 440 specifier."""
    key: str
    """Path of a number in config.json, joined by dots; of several in a list, the largest counts."""
    equals: str = ""
    """What it must be, as sizes in layouts."""
    multiple_of: str = ""
    """What must divide it, where nothing must be equal to it."""
    at_most: str = ""
    """What it must not be above, where neither is said."""
    given: dict[str, bool | int | str] = {}
    """Path of a key -> the value with which it compares them at all."""
    cuts: bool = False
    """It does not stop, but builds less than is stored."""


class EquationsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the classes of a runtime compare."""

    equations: tuple[Equation, ...]


@cache
def equations(runtime: str, version: str, architecture: str) -> tuple[Equation, ...]:
    """What the class of an architecture compares in a release."""
    return tuple(
        equation
        for equation in _read(runtime)
        if architecture in equation.architectures and covers(equation.versions, version)
    )


@cache
def _read(runtime: str) -> tuple[Equation, ...]:
    found = facts_of(runtime).found("equations.toml")
    return msgspec.convert(found, EquationsFile).equations if found else ()


def unequal(
    compared: tuple[Equation, ...], values: Mapping[str, Any], known: ConfigClass | None
) -> Iterator[Reason]:
    """Equations that do not hold.

    Args:
        compared: by the class.
        values: config.json.
        known: the class that reads it, if that is recorded.
    """
    if not compared:
        return
    config = ModelConfig(values=values_by_path(values, known))
    for equation in compared:
        if any(config.values.get(path) != value for path, value in equation.given.items()):
            continue
        other = equation.equals or equation.multiple_of or equation.at_most
        found, wanted = _number(equation.key, config), size_in(other, config)
        if found is None or wanted is None or _holds(equation, found, wanted):
            continue
        what = "a multiple of " if equation.multiple_of else ""
        what = "at most " if equation.at_most else what
        is_ = f"{equation.key} of config.json is {found:,}"
        of = "" if other.isdecimal() else f": {other}"
        text = f"{is_}, but it must be {what}{wanted:,}{of}"
        cut = Reason(f"loads only a part: {text}", Effect.WRONG_WEIGHTS)
        yield cut if equation.cuts else Reason.stop(text)


def _number(key: str, config: ModelConfig) -> int | None:
    listed = config.values.get(key)
    if isinstance(listed, bool):
        return None  # a config class may put a number in its place
    if isinstance(listed, list):
        return max((number for number in listed if isinstance(number, int)), default=None)
    return size_in(key, config)


def _holds(equation: Equation, found: int, wanted: int) -> bool:
    if equation.equals:
        return found == wanted
    return not (wanted and found % wanted) if equation.multiple_of else found <= wanted
