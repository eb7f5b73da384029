"""For which model_types SGLang has a config class of its own: `own_configs.toml`."""

from functools import cache

from msgspec import Struct, convert

from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.toml_folder import facts_of


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    added: dict[str, tuple[str, ...]]
    """Release -> model_types that got a class in it."""


@cache
def own_configs(version: str) -> frozenset[str]:
    """Those of a release."""
    added = convert(facts_of("sglang").parsed("own_configs.toml"), _File).added
    reached = [names for since, names in added.items() if covers(f">={since}", version)]
    return frozenset(name for names in reached for name in names)
