"""Name maps: TOML files of ordered rules, built in or written by the user.

The same schema serves both (`docs/mapper.md`, `docs/mapper.schema.json`); a built-in map also
declares its architectures and the runtime releases that need it.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.names import NameMapper, Rule
from ckptfix.place import Place
from ckptfix.runtimes.facts import FACTS, toml_files
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

MAX_MAPPER_BYTES = 1 << 20
LONGEST_NEW = 1_000
"""A rule may insert `new` at every character of a name."""


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule, applied to the result of the rules before it."""

    kind: Literal["prefix", "substr", "suffix", "regex"]
    """Where `old` is looked for. `regex` uses Python's syntax and matches anywhere."""
    old: str
    """The text to replace."""
    new: str | None = None
    """The replacement; for `regex`, with groups such as `\\1`."""
    drop: bool = False
    """Remove the whole name from the metadata instead of renaming it."""
    whole_segments: bool = True
    """Match only whole parts between dots; false matches any characters."""


class NeededBy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Releases of a runtime that look up the new names and do not map the old ones themselves."""

    runtime: str
    versions: str
    source: str
    """Source: project, version, file."""


class NameMapSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name map file."""

    rules: tuple[RuleSpec, ...]
    description: str = ""
    architectures: tuple[str, ...] = ()
    """Built-in maps only: `architectures` of config.json that select this map; `*` for all."""
    needed_by: tuple[NeededBy, ...] = ()
    """Built-in maps only: who needs the rename."""


class NameMap(msgspec.Struct, frozen=True):
    """The mapper that a command uses, and its origin."""

    mapper: NameMapper
    origin: str
    """Shown to the user: architecture names, a file, `maps` in backquotes, or `no map`."""
    needed_by: tuple[NeededBy, ...] = ()
    """Empty for a map given by the user, which always counts as needed."""
    required: bool = False
    """True when names in the old spelling are a finding."""

    def without_releases(self) -> "NameMap":
        """The same map without the releases that need it, because their verdicts are more precise.

        A map given by the user stays required.
        """
        return msgspec.structs.replace(self, required=self.required and not self.needed_by)

    def require_stable(self, names: Iterable[str], *, of: str = "") -> None:
        """Applying the map twice must give the same names as applying it once.

        Args:
            names: those that it is applied to.
            of: owner of the names, for the message.

        Raises:
            CkptfixError: it would change one of them again.
        """
        unstable = self.mapper.unstable(names)
        if unstable is None:
            return
        name, once, twice = (visible(n) if n is not None else "nothing" for n in unstable)
        raise CkptfixError(
            f"the name map of {self.origin} is not stable: it turns {of}{name} into {once}, "
            f"and that into {twice}",
            advice="reorder or narrow the rules so that applying them twice has the same result "
            "as applying them once",
        )


NO_MAP = NameMap(NameMapper(), "no map")
_ANY = "*"
"""In `architectures` of a built-in map: its rules come before those of every other."""


def _rule(spec: RuleSpec, origin: str, number: int) -> Rule:
    where = Place(origin, f"/rules/{number}")
    if spec.drop == (spec.new is not None):
        raise CkptfixError(
            "a rule needs either a new name or drop, not both and not neither",
            place=where,
            advice='write new = "..." or drop = true',
        )
    if spec.old == "" and spec.kind != "prefix":
        raise CkptfixError(
            f"a {spec.kind} rule with an empty old would match everything", place=where
        )
    if len(spec.new or "") > LONGEST_NEW:
        raise CkptfixError(f"new is longer than {LONGEST_NEW:,} characters", place=where)
    if spec.kind == "regex":
        try:
            pattern = UntrustedRegex(spec.old)
            if spec.new is not None:
                pattern.sub(spec.new, "")  # an unknown group in `new` raises here
        except (re.error, IndexError) as error:
            raise CkptfixError(
                f"{visible(spec.old)!r} is not a valid regular expression: {error}", place=where
            ) from error
        if pattern.match(""):
            raise CkptfixError(
                f"{visible(spec.old)!r} matches the empty string", place=where, advice="anchor it"
            )
    return Rule(spec.kind, spec.old, spec.new, spec.whole_segments)


def parse_name_map(text: str, origin: str) -> NameMapSpec:
    """Read a name map from TOML text.

    Raises:
        CkptfixError: the text is not TOML or not a name map; the message has line or key.
    """
    try:
        return msgspec.convert(tomllib.loads(text), NameMapSpec)
    except RecursionError as error:
        raise CkptfixError("nested too deeply", place=Place(origin)) from error
    except msgspec.ValidationError as error:
        raise CkptfixError(
            f"not a name map: {error}", place=Place(origin), advice="see docs/mapper.md"
        ) from error
    except ValueError as error:  # also an integer with too many digits
        raise CkptfixError(f"not valid TOML: {error}", place=Place(origin)) from error


def compile_rules(spec: NameMapSpec, origin: str) -> NameMapper:
    """The mapper for a map file, or a CkptfixError that names the rule at fault."""
    return NameMapper(tuple(_rule(rule, origin, n) for n, rule in enumerate(spec.rules)))


def parse_map_option(option: str) -> Rule:
    """``OLD=NEW`` of `maps`: a prefix rule on whole segments; empty NEW drops the prefix."""
    old, separator, new = option.partition("=")
    if not separator or not old:
        raise CkptfixError(
            f"`maps` {visible(option)}: expected OLD=NEW",
            advice="for example language_model.backbone=language_model.model",
        )
    return Rule("prefix", old, new)


@cache
def builtin_maps() -> tuple[NameMapSpec, ...]:
    """Every map under `runtimes/name_maps/`, in file name order."""
    paths = toml_files(FACTS / "name_maps")
    return tuple(parse_name_map(path.read_text("utf-8"), path.name) for path in paths)


@cache
def damage_map() -> NameMap:
    """Strips what exporters add to names by mistake, and keeps every spelling."""
    return NameMap(compile_rules(_map_of(_ANY) or NameMapSpec(()), _ANY), "every architecture")


def choose_name_map(
    architectures: Sequence[str], nested: Sequence[tuple[str, Sequence[str]]]
) -> NameMap:
    """The built-in map for a checkpoint.

    Args:
        architectures: `architectures` at the top of config.json.
        nested: ``(prefix, architectures)`` of the language model's own config, for wrappers
            that have no map of their own; its prefix rules are moved below that prefix.

    Returns:
        The map of the architecture, after the rules for every architecture.
    """
    damage = damage_map().mapper
    for architecture in architectures:
        if spec := _map_of(architecture):
            mapper = damage.then(compile_rules(spec, architecture))
            return NameMap(mapper, architecture, spec.needed_by, required=bool(spec.needed_by))
    for prefix, inner in nested:
        for architecture in inner:
            if spec := _map_of(architecture):
                mapper = damage.then(compile_rules(spec, architecture).below(prefix))
                return NameMap(mapper, f"{architecture} below {prefix}", spec.needed_by)
    return damage_map()


def builtin_name_map(checkpoint: Checkpoint) -> NameMap:
    """The built-in map for a checkpoint's architecture."""
    return choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)


def own_name_map(maps: Sequence[str], mapper: str | None) -> NameMap | None:
    """The user's rules, None if there are none.

    Args:
        maps: ``OLD=NEW`` each; they follow the rules of `mapper`.
        mapper: path of a mapper file.

    Raises:
        CkptfixError: an invalid rule, or a file that cannot be read.
    """
    if not maps and mapper is None:
        return None
    rules = NameMapper()
    origins = []
    if mapper is not None:
        rules = compile_rules(parse_name_map(_read_text(mapper), visible(mapper)), visible(mapper))
        origins.append(visible(mapper))
    if maps:
        rules = rules.then(NameMapper(tuple(parse_map_option(option) for option in maps)))
        origins.append("`maps`")
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


def _map_of(architecture: str) -> NameMapSpec | None:
    return next((spec for spec in builtin_maps() if architecture in spec.architectures), None)
