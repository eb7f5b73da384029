"""`ckptfix.toml`, or `[tool.ckptfix]` of pyproject.toml: defaults for the flags of `check`.

The nearest file is used, from the working directory upwards; if a directory has both, ckptfix.toml
wins.
"""

import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Struct, field

from ckptfix.errors import CkptfixError
from ckptfix.rules.selection import parse_codes
from ckptfix.text import visible

OWN_FILE: Final = "ckptfix.toml"
PROJECT_FILE: Final = "pyproject.toml"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The keys, described in docs/configuration.md."""

    runtimes: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_path_ignores: dict[str, tuple[str, ...]] = {}
    fail_on: Literal["warning", "error"] | None = None
    allow_unknown: bool = False


class Configuration(Struct, frozen=True):
    """Settings, and the file that contains them."""

    settings: Settings = field(default_factory=Settings)
    path: Path | None = None

    def ignored_in(self, directory: str) -> tuple[str, ...]:
        """The codes that per-path-ignores leaves out for a checkpoint directory."""
        if self.path is None or not self.settings.per_path_ignores:
            return ()
        target = Path(directory).resolve()
        base = self.path.parent.resolve()
        relative = target.relative_to(base) if target.is_relative_to(base) else target
        names = relative.as_posix(), target.name
        return tuple(
            code
            for pattern, codes in self.settings.per_path_ignores.items()
            if any(fnmatchcase(name, pattern.rstrip("/")) for name in names)
            for code in codes
        )


def configuration(given: str | None, *, none: bool) -> Configuration:
    """The configuration that `--config` names, else the nearest one; empty if there is none.

    Raises:
        CkptfixError: unreadable, not TOML, an unknown key or code, or a wrong type.
    """
    if given is not None and none:
        raise CkptfixError("--config cannot be used with --no-config")
    if none:
        return Configuration()
    if given is not None:
        path = Path(given)
        table = _table(path)
        if table is None:
            raise CkptfixError(f"{visible(given)}: has no [tool.ckptfix] table")
        return Configuration(_settings(table, visible(given)), path)
    here = Path.cwd()
    for folder in (here, *here.parents):
        for path in (folder / OWN_FILE, folder / PROJECT_FILE):
            table = _table(path) if path.is_file() else None
            if table is not None:
                return Configuration(_settings(table, visible(str(path))), path)
    return Configuration()


def _table(path: Path) -> dict[str, Any] | None:
    """The settings for ckptfix; None for a pyproject.toml without any."""
    shown = visible(str(path))
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise CkptfixError(f"{shown}: nested too deeply") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not valid TOML: {error}"
        raise CkptfixError(f"{shown}: {reason}") from error
    if path.name != PROJECT_FILE:
        return document
    table = document.get("tool", {}).get("ckptfix")
    if table is None or isinstance(table, dict):
        return table
    raise CkptfixError(f"{shown}: tool.ckptfix: expected a table")


def _settings(table: dict[str, Any], where: str) -> Settings:
    known = [field_.encode_name for field_ in msgspec.structs.fields(Settings)]
    for key in table:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            advice = f"did you mean {close[0]}" if close else f"known are {', '.join(known)}"
            raise CkptfixError(f"{where}: unknown key {visible(key)!r}", advice=advice)
    try:
        settings = msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise CkptfixError(f"{where}: {_key_first(str(error))}") from error
    ignores = settings.per_path_ignores
    for key, texts in (("per-path-ignores", ignores), ("runtimes", settings.runtimes)):
        if not all(map(str.strip, texts)):
            raise CkptfixError(f"{where}: {key}: empty entry", advice="fill it in or remove it")
    return msgspec.structs.replace(
        settings,
        select=parse_codes(settings.select, f"{where}: select"),
        ignore=parse_codes(settings.ignore, f"{where}: ignore"),
        per_path_ignores={
            path: parse_codes(codes, f"{where}: per-path-ignores.{visible(path)}")
            for path, codes in ignores.items()
        },
    )


def _key_first(problem: str) -> str:
    """`Expected X, got Y - at $.key` with the key first."""
    wrong, _, path = problem.partition(" - at ")
    key = path.strip("`").removeprefix("$.")
    return f"{key}: {wrong[:1].lower()}{wrong[1:].replace('`', '')}"
