"""Options that several commands share, and what they mean."""

from pathlib import Path
from typing import Annotated

import typer

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.names import NameMapper, visible
from ckptfix.runtimes.name_maps import (
    MAX_MAPPER_BYTES,
    NameMap,
    choose_name_map,
    compile_rules,
    parse_map_option,
    parse_name_map,
)

CheckpointArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="Checkpoint directory.", show_default=False)
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="OLD=NEW",
        help="Rename the prefix OLD to NEW; repeatable. Replaces the built-in name map.",
        show_default=False,
    ),
]
MapperOption = Annotated[
    str | None,
    typer.Option(
        "--mapper",
        metavar="FILE",
        help="Ordered rules in a TOML file, before any --map. Replaces the built-in name map.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="List every finding instead of groups of like ones.")
]


def name_map_for(checkpoint: Checkpoint, maps: list[str] | None, mapper: str | None) -> NameMap:
    """The user's rules if there are any, else the built-in map of the architecture."""
    if not maps and mapper is None:
        return choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
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
