"""From what the user named to a checkpoint and a name map."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ckptfix.checkpoint.checkpoint import Checkpoint, load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError
from ckptfix.names import NameMapper
from ckptfix.remote.opening import HERE_AND_THERE, Opened, Reach, open_reference
from ckptfix.remote.reference import Reference, parse_reference
from ckptfix.report.console import line, show
from ckptfix.report.progress import Watch, watching
from ckptfix.rewrite.store import require_whole
from ckptfix.runtimes.name_maps import (
    MAX_MAPPER_BYTES,
    NameMap,
    choose_name_map,
    compile_rules,
    parse_map_option,
    parse_name_map,
)
from ckptfix.text import visible


def load(name: str, reach: Reach = HERE_AND_THERE) -> Checkpoint:
    """The checkpoint that a user named, unless a rewrite of it was interrupted."""
    with watching(sys.stderr) as watch:
        return load_opened(open_named(name, reach), watch)


def open_named(name: str, reach: Reach) -> Opened:
    """The source of what a user named."""
    return open_told(parse_reference(name, reach.revision), reach)


def open_told(reference: Reference, reach: Reach) -> Opened:
    """The source, and on stderr what should be known of it."""
    opened = open_reference(reference, reach)
    if opened.note:
        show([line(f"note: {opened.note}")], sys.stderr)
    return opened


def load_opened(opened: Opened, watch: Watch) -> Checkpoint:
    """The checkpoint of a source, unless a rewrite of it was interrupted."""
    source = opened.source
    if isinstance(source, DirectorySource):
        require_whole(source.root)
        return load_checkpoint(source, str(opened.reference))
    return load_checkpoint(watch(source), str(opened.reference))


def name_map_for(checkpoint: Checkpoint, maps: Sequence[str] | None, mapper: str | None) -> NameMap:
    """The user's rules if there are any, else the built-in map of the architecture."""
    own = own_name_map(maps, mapper)
    return builtin_name_map(checkpoint) if own is None else own


def builtin_name_map(checkpoint: Checkpoint) -> NameMap:
    """The built-in map of the architecture."""
    return choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)


def own_name_map(maps: Sequence[str] | None, mapper: str | None) -> NameMap | None:
    """The user's rules, if there are any."""
    if not maps and mapper is None:
        return None
    rules = NameMapper()
    origins = []
    if mapper is not None:
        rules = compile_rules(parse_name_map(_read_text(mapper), visible(mapper)), visible(mapper))
        origins.append(visible(mapper))
    if maps:
        rules = rules.then(NameMapper(tuple(parse_map_option(option) for option in maps)))
        origins.append("--map")
    return NameMap(rules, " and ".join(origins), required=True)


def _read_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_MAPPER_BYTES + 1)
        if len(data) > MAX_MAPPER_BYTES:
            raise CkptfixError(f"{visible(path)}: larger than 1 MB, not a mapper file")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CkptfixError(f"{visible(path)}: not UTF-8") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CkptfixError(f"{visible(path)}: {reason}") from error
