"""Shared experts that SGLang puts into the bank of the routed ones, although they differ."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.toml_folder import facts_of

_FILE: Final = "shared_experts.toml"
_SHARED: Final = ".shared_expert"
"""At the start of the last part but one: `mlp.shared_expert.`, `mlp.shared_experts.`"""
_GATE: Final = "shared_expert_gate"
_BANK: Final = ".experts"


class _Classes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    architectures: tuple[str, ...]
    versions: str
    source: str
    checked: dict[str, str] = {}


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    option: str
    classes: tuple[_Classes, ...]


def sglang_options(
    version: str, architecture: str, quant_algo: str, stored: Mapping[str, str]
) -> tuple[str, ...]:
    """What a server has to be told so that it loads the modules as they are stored.

    Args:
        version: the release.
        architecture: its outer class.
        quant_algo: of the metadata as a whole; empty if there is none.
        stored: module of the runtime -> its stored format.
    """
    if not any(_SHARED in name for name in stored):
        return ()
    facts = _facts()
    known = next((c for c in facts.classes if architecture in c.architectures), None)
    if known is None or not covers(known.versions, version):
        return ()
    checked = known.checked.get(quant_algo)
    if checked is not None and covers(checked, version):
        return ()
    return (facts.option,) if any(_differs(name, stored) for name in stored) else ()


def _differs(name: str, stored: Mapping[str, str]) -> bool:
    """Whether it is a layer of a shared expert that is not stored like the bank beside it."""
    above, shared, _ = name.partition(_SHARED)
    if not shared or _GATE in name:
        return False
    return stored[name] != stored.get(f"{above}{_BANK}", stored[name])


@cache
def _facts() -> _Facts:
    return msgspec.convert(facts_of("sglang").parsed(_FILE), _Facts)
