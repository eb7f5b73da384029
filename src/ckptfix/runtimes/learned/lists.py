"""How many blocks a class builds in its towers, learned from the class.

The files `<runtime>/lists/<version>.json` are written by `tools/learn_lists.py`: it puts more
blocks into a config, one number at a time, builds the class and loads the tensors of such a model.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from ckptfix.runtimes.config_classes import ConfigClass, always_reads_as, values_by_path
from ckptfix.runtimes.learned.release_file import release_file

FOLDER: Final = "lists"
_TYPE: Final = "model_type"
_IN_LIST: Final = re.compile(r"([^\d]*?)\.(\d{1,9})\.")


class ListsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One class, as the file has it."""

    config: str
    """The repository or the config class whose values were changed."""
    model_types: dict[str, str]
    """Path of the `model_type` of what is read -> its value."""
    counts: dict[str, tuple[str, ...]]
    """Path of a number, or of a list, in config.json -> stored names of the lists that are as
    long."""
    differ: tuple[str, ...] = ()
    """Those whose items are not all of the same kind."""
    unread: dict[str, int] = {}
    """Those whose last items are not built, and how many; it passes over all that are not built."""
    of_library: bool = False
    """The config is the default of its class, so its types also hold where they are missing."""


class Counted(Struct, frozen=True):
    """A list of a checkpoint, and how long it is in a release."""

    name: str
    path: str
    number: int
    """The value of the number at that path, or its default; of a list, how many items it has."""
    unread: int
    """So many at the end are not built; more than 0 if it passes over what it does not build."""
    same: bool
    """All items have the same modules."""
    items: Mapping[int, Mapping[str, str]]
    """Number of an item -> what is stored below it, by its name there."""


class Lists(Struct, frozen=True, eq=False):
    """What was learned of one class; there is one object per release and architecture."""

    record: ListsRecord

    def counted(
        self, values: Mapping[str, Any], known: ConfigClass | None, names: Iterable[str]
    ) -> Iterator[Counted]:
        """The stored lists whose length is known.

        Args:
            values: config.json.
            known: the class that reads it, if that is recorded.
            names: of what is stored.
        """
        record = self.record
        flat = values_by_path(values, known)
        if not all(
            self._has(flat, path, type_) or always_reads_as(known, path.split(".")[:-1], type_)
            for path, type_ in record.model_types.items()
        ):
            return
        paths = {name: path for path, lists in record.counts.items() for name in lists}
        stored: dict[str, dict[int, dict[str, str]]] = {}
        for name in names:
            if (at := _IN_LIST.match(name)) and at[1] in paths:
                items = stored.setdefault(at[1], {})
                items.setdefault(int(at[2]), {})[name[at.end() :]] = name
        for name, path in paths.items():
            given = flat.get(path)
            number = len(given) if isinstance(given, list) else given
            if name in stored and isinstance(number, int):
                unread, same = record.unread.get(name, 0), name not in record.differ
                yield Counted(name, path, int(number), unread, same, stored[name])

    def _has(self, flat: Mapping[str, Any], path: str, type_: str) -> bool:
        given = flat.get(path)
        return given == type_ or (given is None and path != _TYPE and self.record.of_library)


@cache
def lists(runtime: str, version: str, architecture: str) -> Lists | None:
    """The lists of the class of an architecture; None if they were not learned of this release."""
    known = release_file(runtime, FOLDER, version)
    recorded = known.architectures.get(architecture) if known else None
    return Lists(msgspec.json.decode(recorded, type=ListsRecord)) if recorded else None
