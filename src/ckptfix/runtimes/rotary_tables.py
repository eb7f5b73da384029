"""What classes do with stored tables of rotary embeddings: `<runtime>/rotary_tables.toml`.

Older transformers, ColossalAI and GPTQModel saved them; every runtime computes its own.
"""

from collections.abc import Mapping
from functools import cache

from msgspec import Struct, convert

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import facts_of


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    architectures: tuple[str, ...]
    drops: tuple[str, ...] = ()
    """Parts of the names of tensors."""
    stops: tuple[str, ...] = ()
    """The same of those at which the loader raises."""
    drops_below: str = ""
    """How the names start of those that it drops; it stops at the same ones elsewhere."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    versions: str
    source: str
    classes: tuple[_Row, ...]


def stored_tables(
    checkpoint: Checkpoint, target: Target, architecture: str
) -> tuple[frozenset[str], frozenset[str]]:
    """Stored modules that hold such tables alone: those that a class drops, those that stop it.

    Args:
        checkpoint: whose modules these are.
        target: the release.
        architecture: of the class.
    """
    key = "tables of rotary embeddings"
    if key not in checkpoint.table.derived:
        found = {n: m for n, m in checkpoint.modules.items() if "rotary_" in n.rpartition(".")[2]}
        checkpoint.table.derived[key] = found
    stored: dict[str, Module] = checkpoint.table.derived[key]
    versions, known = _facts(target.runtime) if stored else ("", {})
    row = known.get(architecture)
    if row is None or not covers(versions, target.profile_version):
        return frozenset(), frozenset()

    def among(parts: tuple[str, ...]) -> frozenset[str]:
        return frozenset(
            name
            for name, module in stored.items()
            if all(any(part in tensor for part in parts) for tensor in module.tensor_names.values())
        )

    dropped = among(row.drops)
    below = frozenset(name for name in dropped if name.startswith(row.drops_below))
    return below, among(row.stops) | (dropped - below)


@cache
def _facts(runtime: str) -> tuple[str, Mapping[str, _Row]]:
    """The releases, and architecture -> what its class does."""
    found = facts_of(runtime).found("rotary_tables.toml")
    if not found:
        return "", {}
    file = convert(found, _File)
    return file.versions, {name: row for row in file.classes for name in row.architectures}
