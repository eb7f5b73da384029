"""Configs within a config that one class reads, whatever type they name."""

from collections.abc import Sequence

from ckptfix.runtimes.config_classes.record import ConfigClass


def always_reads_as(known: ConfigClass | None, path: Sequence[str], type_: str) -> bool:
    """Whether a config within another is read by the class of this type; False if not known.

    Args:
        known: the class that reads the other one.
        path: of the config within it.
        type_: its model_type, in the default of that class.
    """
    if known is None or not path:
        return False
    first, *others = path
    if others:
        return always_reads_as(known.within(first), others, type_)
    named = known.record.nested.get(first)
    return named is not None and _plain(named) == _plain(type_)


def _plain(name: str) -> str:
    """Of a class or of its type: `DeepseekV2Config` reads `deepseek_v2`."""
    return name.removesuffix("Config").replace("_", "").lower()
