"""Aliases that let a release find entries it currently misses."""

from collections.abc import Iterable, Iterator, Mapping, Set

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import MetadataFile
from ckptfix.names import is_regex
from ckptfix.place import Place
from ckptfix.rewriting.plan import Aliases
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleVerdict
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.registry import read_by_runtimes
from ckptfix.runtimes.target_verdict import TargetVerdict


class AliasRequest(Struct, frozen=True):
    """An alias one release needs in one file."""

    place: Place
    """Place of the entry that it is added after; for an exclude pattern, of the file."""
    name: str
    excludes: bool
    module: str
    """Label of the runtime's module that it is for."""


def as_aliases(requests: Iterable[AliasRequest]) -> Aliases:
    """The requests as a plan takes them, each name once."""
    entries: dict[Place, dict[str, None]] = {}
    excludes: dict[str, dict[str, None]] = {}
    for request in requests:
        if request.excludes:
            excludes.setdefault(request.place.file, {})[request.name] = None
        else:
            entries.setdefault(request.place, {})[request.name] = None
    return Aliases(
        {place: tuple(names) for place, names in entries.items()},
        {file: tuple(names) for file, names in excludes.items()},
    )


def alias_requests(
    checkpoint: Checkpoint,
    chosen: NameMap,
    name_map: NameMap,
    verdicts: Iterable[TargetVerdict],
) -> tuple[AliasRequest, ...]:
    """The aliases that let the releases build each module in its stored format.

    A quantized module that a release does not find needs an entry under its own name next to that
    of its last member, in every file that has it. An unquantized one that a release would quantize
    needs a pattern, in every file that excludes it under a different name or, if a layer map
    decides and the release took the entry of a different module, in all of them. A packed module of
    which only some members are excluded needs patterns for the rest.

    Args:
        checkpoint: tensors and metadata, with the current names.
        chosen: how the plan renames them.
        name_map: how they are read.
        verdicts: on the renamed names.
    """
    wrong = [m for v in verdicts for m in v.wrong if m.resolution is not None and m.name]
    if not wrong:
        return ()
    entries: dict[str, list[Place]] = {}
    taken: set[tuple[str, str]] = set()
    for metadata in read_by_runtimes(checkpoint.metadata):
        for statement in metadata.of_kind("entry"):
            entries.setdefault(statement.name, []).append(statement.place)
            taken.add((metadata.file, chosen.mapper.map(statement.name) or ""))
    excluded = _excluded(checkpoint, name_map)
    requests: dict[AliasRequest, None] = {}
    for module in wrong:
        if module.resolved == UNQUANTIZED:
            requests |= dict.fromkeys(_wanted_entries(module, entries, taken))
        elif module.stored == UNQUANTIZED:
            requests |= dict.fromkeys(_wanted_patterns(module, excluded))
    return tuple(requests)


def _wanted_entries(
    module: ModuleVerdict, entries: Mapping[str, list[Place]], taken: Set[tuple[str, str]]
) -> Iterator[AliasRequest]:
    named = next((m for m in reversed(module.members) if m in entries), None)
    for place in entries[named] if named else ():
        if (place.file, module.name) not in taken:
            yield AliasRequest(place, module.name, False, module.label)


_Patterns = Mapping[str, str | None]
"""Checkpoint name of a module -> the first pattern that excludes it; None if none is needed."""


def _excluded(checkpoint: Checkpoint, name_map: NameMap) -> list[tuple[MetadataFile, _Patterns]]:
    declarations = Declarations.of(checkpoint, name_map)
    found: list[tuple[MetadataFile, _Patterns]] = []
    for metadata in read_by_runtimes(checkpoint.metadata):
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
) -> Iterator[AliasRequest]:
    for metadata, patterns in excluded:
        if not all(member in patterns for member in module.members):
            continue
        if module.resolution and module.resolution.exclusion_error:
            names = tuple(_members_left_out(module.members, patterns))
        else:
            pattern = patterns[module.members[0]]
            spelled = _respelled(pattern, module.members[0], module.name)
            # `lm_head.*` exists but does not exclude lm_head: only the name itself helps.
            names = (module.name if spelled == pattern else spelled,)
        yield from (AliasRequest(metadata.place, name, True, module.label) for name in names)


def _members_left_out(members: Iterable[str], patterns: _Patterns) -> Iterator[str]:
    """Patterns for the members that have none, spelled like that of a member which has one."""
    spelled = [(pattern, member) for member in members if (pattern := patterns[member])]
    for member in members:
        if patterns[member] is None:
            fitting = (_respelled(pattern, other, member) for pattern, other in spelled)
            yield next(fitting, member)


def _respelled(pattern: str | None, member: str, looked_up: str) -> str:
    """The pattern with the prefix that the runtime gives to the module's name, if that fits.

    >>> _respelled("model.visual*", "model.visual.blocks.0.qkv", "visual.blocks.0.qkv")
    'visual*'
    >>> _respelled("layers.0.mamba*", "layers.0.mamba.in_proj", "layers.0.mixer.in_proj")
    'layers.0.mixer*'
    """
    if pattern is None or is_regex(pattern):
        return looked_up
    old, new = member.split("."), looked_up.split(".")
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    head, rest = ".".join(old), pattern.removeprefix(".".join(old))
    fits = pattern.startswith(head) and (not rest or rest[0] in ".*?[" or not head)
    if not fits or pattern.startswith(("*", "?", "[")):
        return looked_up
    return ".".join([*new, rest]) if new and not head else (".".join(new) + rest).removeprefix(".")
