"""Names that would make a release find what it asks for and does not find."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import QUANT_CFG_FILE, MetadataFile
from ckptfix.names import is_regex
from ckptfix.place import Place
from ckptfix.rewriting.plan import Aliases
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleVerdict
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.verdict import TargetVerdict


@dataclass(frozen=True)
class Wish:
    """One name that a release wants in one file, for one of its modules."""

    place: Place
    """Of the entry to stand beside; for an exclude pattern, of the file."""
    name: str
    excludes: bool
    module: str
    """Label of the runtime's module that it is for."""


def as_aliases(wishes: Iterable[Wish]) -> Aliases:
    """The wishes as a plan takes them, each name once."""
    entries: dict[Place, dict[str, None]] = {}
    excludes: dict[str, dict[str, None]] = {}
    for wish in wishes:
        if wish.excludes:
            excludes.setdefault(wish.place.file, {})[wish.name] = None
        else:
            entries.setdefault(wish.place, {})[wish.name] = None
    return Aliases(
        {place: tuple(names) for place, names in entries.items()},
        {file: tuple(names) for file, names in excludes.items()},
    )


def wishes_of(
    checkpoint: Checkpoint,
    chosen: NameMap,
    name_map: NameMap,
    verdicts: Iterable[TargetVerdict],
) -> tuple[Wish, ...]:
    """What the releases want so as to build each module as it is stored.

    A quantized module that a release does not find wants its own name beside the entry of its last
    member, in every file that has it. An unquantized one that a release would quantize wants a
    pattern, in every file that excludes it under another name or, where a layer map decides and
    the release took the entry of another module, in all of them. A packed module of which only
    some members are excluded wants patterns for the rest.

    Args:
        checkpoint: both sides, names as they are.
        chosen: how the plan renames them.
        name_map: how they are read.
        verdicts: on the renamed names.
    """
    entries: dict[str, list[Place]] = {}
    taken: set[tuple[str, str]] = set()
    for metadata in _read_by_runtimes(checkpoint):
        for statement in metadata.of_kind("entry"):
            entries.setdefault(statement.name, []).append(statement.place)
            taken.add((metadata.file, chosen.mapper.map(statement.name) or ""))
    excluded = _excluded(checkpoint, name_map)
    wishes: dict[Wish, None] = {}
    for verdict in verdicts:
        for module in verdict.wrong:
            if module.resolution is None or not module.name:
                continue
            if module.resolved == UNQUANTIZED:
                found = _wanted_entries(module, entries, taken)
            elif module.stored == UNQUANTIZED:
                found = _wanted_patterns(module, excluded)
            else:
                continue
            wishes |= dict.fromkeys(found)
    return tuple(wishes)


def _read_by_runtimes(checkpoint: Checkpoint) -> list[MetadataFile]:
    return [m for m in checkpoint.metadata if m.file != QUANT_CFG_FILE]


def _wanted_entries(
    module: ModuleVerdict, entries: Mapping[str, list[Place]], taken: Set[tuple[str, str]]
) -> Iterator[Wish]:
    named = next((m for m in reversed(module.members) if m in entries), None)
    for place in entries[named] if named else ():
        if (place.file, module.name) not in taken:
            yield Wish(place, module.name, False, module.label)


_Patterns = Mapping[str, str | None]
"""Checkpoint name of a module -> the first pattern that excludes it; None when none need do."""


def _excluded(checkpoint: Checkpoint, name_map: NameMap) -> list[tuple[MetadataFile, _Patterns]]:
    declarations = Declarations(checkpoint, Naming(checkpoint, name_map))
    found: list[tuple[MetadataFile, _Patterns]] = []
    for metadata in _read_by_runtimes(checkpoint):
        patterns: dict[str, str | None] = {
            module: metadata.statements[index].name
            for module, index in declarations.excluded(metadata).items()
        }
        if metadata.is_mixed and metadata.of_kind("entry"):
            for module in checkpoint.modules:
                patterns.setdefault(module, None)
        found.append((metadata, patterns))
    return found


def _wanted_patterns(
    module: ModuleVerdict, excluded: Iterable[tuple[MetadataFile, _Patterns]]
) -> Iterator[Wish]:
    for metadata, patterns in excluded:
        if not all(member in patterns for member in module.members):
            continue
        if module.resolution and module.resolution.exclusion_error:
            names = tuple(_members_left_out(module.members, patterns))
        else:
            names = (_respelled(patterns[module.members[0]], module.members[0], module.name),)
        yield from (Wish(metadata.place, name, True, module.label) for name in names)


def _members_left_out(members: Iterable[str], patterns: _Patterns) -> Iterator[str]:
    """Patterns for the members that have none, spelled like that of a member which has one."""
    spelled = [(pattern, member) for member in members if (pattern := patterns[member])]
    for member in members:
        if patterns[member] is None:
            fitting = (_respelled(pattern, other, member) for pattern, other in spelled)
            yield next(fitting, member)


def _respelled(pattern: str | None, member: str, asked: str) -> str:
    """The pattern with the beginning that the runtime gives to the module's name, if that fits.

    >>> _respelled("model.visual*", "model.visual.blocks.0.qkv", "visual.blocks.0.qkv")
    'visual*'
    >>> _respelled("layers.0.mamba*", "layers.0.mamba.in_proj", "layers.0.mixer.in_proj")
    'layers.0.mixer*'
    """
    if pattern is None or is_regex(pattern):
        return asked
    old, new = member.split("."), asked.split(".")
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    head, rest = ".".join(old), pattern.removeprefix(".".join(old))
    fits = pattern.startswith(head) and (not rest or rest[0] in ".*?[" or not head)
    if not fits or pattern.startswith(("*", "?", "[")):
        return asked
    return ".".join([*new, rest]) if new and not head else (".".join(new) + rest).removeprefix(".")
