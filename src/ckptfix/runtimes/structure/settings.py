"""Values of config.json that the classes require or restrict."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.by_config_tables import StopsSpec, kind_at
from ckptfix.runtimes.common.kinds import ABSENT, KINDS
from ckptfix.runtimes.config_classes import values_by_path
from ckptfix.runtimes.equations import unequal
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.expected import Expected
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def setting_reasons(tree: Tree) -> Iterator[Reason]:
    """Required keys that are missing, and values that no class supports."""
    yield from _lacking(tree)
    values, config = tree.config.values, tree.checkpoint.config_values
    yield from _values_that_stop(tree)
    for key, supported in tree.family.spec.allows.items():
        listed = values.get(key)
        others = [v for v in listed if v not in supported] if isinstance(listed, list) else []
        if others:
            found = f"{key} in config.json contains {visible(str(others[0]))}"
            yield Reason.stop(f"{found}, which it does not support")
    yield from _tower_reasons(tree)
    if config is not None:
        yield from unequal(tree.expected.equations, config, tree.expected.config_class)


def _lacking(tree: Tree) -> Iterator[Reason]:
    """Keys and objects that the classes need and config.json lacks."""
    given = tree.checkpoint.config.values
    for key in tree.family.spec.needs:  # also where the class of a part would fill it in
        if given and key not in given and not _is_said(tree, key):
            yield Reason.stop(f"config.json has no {key}, which this architecture needs")
    if (config := tree.checkpoint.config_values) is None:
        return
    for path in tree.family.spec.needs_objects:
        if not isinstance(find_at(config, path.split(".")), dict):
            yield Reason.stop(f"config.json has no object {path}, which this class needs")
    for path in tree.family.spec.needs_paths:
        *within, key = path.split(".")
        holder = find_at(config, within)
        if not isinstance(holder, dict) or key not in holder:
            yield Reason.stop(f"config.json has no {path}, which this class needs")


def _is_said(tree: Tree, key: str) -> bool:
    """Whether `class_reasons` reports that a key is missing."""
    path, kind = _class_stop(tree.checkpoint.config_values or {}, tree.expected)
    return kind == "missing" and path[-1] == key


def _values_that_stop(tree: Tree) -> Iterator[Reason]:
    """Keys at whose null, or whose 0, a class stops."""
    for key in tree.family.spec.not_null:
        if tree.config.values.get(key, ABSENT) is None:
            yield Reason.stop(f"{key} of config.json is null, which stops its class")
    for key in tree.family.spec.divides_by:
        if tree.config.number(key) == 0:
            yield Reason.stop(f"{key} of config.json is 0, and it divides by that")


def _values_together(config: Mapping[str, Any], expected: Expected) -> Iterator[Reason]:
    """Values, some of which stop a class only next to others."""
    if expected.by_config is None:
        return
    flat = values_by_path(config, expected.config_class)
    for spec in expected.by_config.stops(flat, config):
        what = _described(spec, flat, config)
        yield Reason.stop(f"{what} in config.json, which stops its class")


def _described(spec: StopsSpec, flat: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The values that a table is about."""
    said = [f"{path} {visible(what)}" for path, what in spec.met(flat)]
    said += [f"{path} is {flat[path]:,}" for path in spec.below]
    said += [f"{path} is {_given(kind_at(config, path))}" for path in spec.kinds]
    if spec.shorter is not None:
        said.append(f"{spec.shorter[0]} is shorter than {spec.shorter[1]}")
    return " and ".join(said)


def _tower_reasons(tree: Tree) -> Iterator[Reason]:
    """Towers whose class the release does not register."""
    values = tree.checkpoint.config_values
    if values is None:
        return
    for key, known in tree.family.spec.tower_types.items():
        tower = values.get(key)
        kind = tower.get("model_type") if isinstance(tower, dict) else None
        if kind not in known:
            given = visible(str(kind)) if kind else "none"
            yield Reason.stop(f"model_type of {key} is {given}, and it has no class for that tower")


def class_reasons(checkpoint: Checkpoint, expected: Expected) -> Iterator[Reason]:
    """Values of config.json that stop its config class or the model class, whatever is stored."""
    values = checkpoint.config_values
    if values is None:
        return
    if expected.needs_model_type and not isinstance(values.get("model_type"), str):
        yield Reason.stop("config.json has no model_type, which names its config class")
    if expected.unknown_type is not None:
        kind, where = expected.unknown_type
        named = visible(kind) or "''"
        yield Reason.stop(f"it has no config class for model_type {named} of {where}")
    if key := expected.stray_config:
        what = "is taken for the config of the language model, of which its class has none"
        yield Reason.stop(f"{key} of config.json {what} under that name")
    path, kind = _stop(values, expected)
    refuses = "which its config class refuses"
    if not path:
        path, kind = _class_stop(values, expected)
        refuses = "which stops its class"
    if path:
        name = visible(".".join(map(str, path)))
        yield Reason.stop(f"{name} of config.json is {_given(kind)}, {refuses}")
    yield from _values_together(values, expected)


def metadata_reasons(checkpoint: Checkpoint, expected: Expected, method: str) -> Iterator[Reason]:
    """Why a quantizer's metadata stops the model class, whatever is stored.

    Args:
        checkpoint: whose config.json counts.
        expected: what the class builds.
        method: `quant_method` of the metadata, `modelopt` for ModelOpt's.
    """
    if expected.by_config is not None and checkpoint.config_values is not None:
        flat = values_by_path(checkpoint.config_values, expected.config_class)
        found = expected.by_config.metadata(flat, method)
        yield from (Reason.stop(spec.why) for spec in found)


def _stop(values: Mapping[str, Any], expected: Expected) -> tuple[Path, str]:
    """Path of the first value that the config classes refuse, and its kind; empty without one."""
    known = expected.config_class
    return next(known.refusals(values), ((), "")) if known else ((), "")


def _class_stop(values: Mapping[str, Any], expected: Expected) -> tuple[Path, str]:
    """The same of the first value that stops a model class."""
    tried = (found for tried in expected.tried for found in tried.stops(values))
    rotary = expected.rotary.stop(values) if expected.rotary else None
    return next(tried, rotary) or ((), "")


def _given(kind: str) -> str:
    return _GIVEN.get(kind) or (f"a value of type {kind}" if kind in KINDS else kind)


_GIVEN: Final = {kind: kind for kind in ("missing", "null")} | {
    f"empty {type_}": f"an empty {type_}" for type_ in ("string", "list", "object")
}
"""Kind of a value -> how it is described."""
