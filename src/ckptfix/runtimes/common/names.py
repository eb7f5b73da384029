"""The names of a checkpoint's metadata as the model classes of a release map them."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.common.mapping import map_config_name
from ckptfix.runtimes.common.patterns import Packed
from ckptfix.runtimes.profile import ConfigMapper


class BoundNames(Struct, frozen=True):
    """Mappers and packed tables of the relevant model classes."""

    rules: LookupRules
    mappers: tuple[ConfigMapper, ...]
    packed: Packed

    def map(self, name: str) -> str | None:
        """The name after every mapper, outermost class first; None if one deletes it."""
        current: str | None = name
        for mapper in self.mappers:
            if current is not None:
                current = map_config_name(self.rules.mapping, mapper, current)
        return current

    def unmapped(self) -> "BoundNames":
        """The same for a class whose names are not mapped."""
        return replace(self, mappers=())

    def mapped(self, names: Iterable[str]) -> dict[str, str]:
        """Mapped name -> name as written; if two are equal, the last wins, as in a dict."""
        found: dict[str, str] = {}
        for name in names:
            if (new := self.map(name)) is not None:
                found[new] = name
        return found

    def members(self, name: str) -> tuple[str, ...]:
        """The names of a packed module's members; empty for one that is not packed."""
        last = name.rpartition(".")[2]
        # Every occurrence is replaced, as the runtimes do, not only the last part.
        return tuple(name.replace(last, member) for member in self.packed.get(last, ()))
