"""The settings of `check`, from flags and configuration."""

import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ckptfix.cli.configuration import Configuration
from ckptfix.errors import CkptfixError
from ckptfix.installed.targets import targets_of
from ckptfix.operations.check_one import CheckRequest
from ckptfix.operations.plans import map_arguments
from ckptfix.remote.opening import DEFAULT_POLICY, NetworkPolicy
from ckptfix.rules.finding import Severity
from ckptfix.rules.selection import EVERY, Selection, parse_codes
from ckptfix.runtimes.name_maps import own_name_map
from ckptfix.text import visible


class CheckFlags(Struct, frozen=True):
    """Values from the command line; None for options that were not given."""

    maps: tuple[str, ...] = ()
    mapper: str | None = None
    runtimes: Sequence[str] | None = None
    select: Sequence[str] | None = None
    ignore: Sequence[str] | None = None
    fail_on: str | None = None
    allow_unknown: bool = False


def request_of(
    flags: CheckFlags,
    found: Configuration,
    *,
    shows: str = "text",
    every: bool = True,
    lines: bool = True,
    policy: NetworkPolicy = DEFAULT_POLICY,
    jobs: int = 1,
) -> CheckRequest:
    """Flags take precedence over the configuration; only what is shown is planned.

    Args:
        flags: the command line.
        found: the configuration.
        shows: an output format, or `table`, which shows answers and no finding.
        every: see `CheckRequest`.
        lines: see `CheckRequest`.
        policy: what may be requested.
        jobs: checkpoints read at a time.

    Raises:
        CkptfixError: an unknown runtime or code, a map that cannot be read.
    """
    settings = found.settings
    select = parse_codes(flags.select, "--select") if flags.select else settings.select
    ignore = parse_codes(flags.ignore, "--ignore") if flags.ignore else settings.ignore
    return CheckRequest(
        own_name_map(flags.maps, flags.mapper),
        map_arguments(flags.maps, flags.mapper),
        targets_of(flags.runtimes or settings.runtimes),
        Selection(select or (EVERY,), ignore),
        found.ignored_in,
        repairs=shows != "table",
        next_step=shows in ("text", "html", "sarif"),
        patch=shows in ("html", "sarif"),
        page=shows == "html",
        policy=policy,
        every=every,
        lines=lines,
        jobs=jobs,
    )


def fail_level(flags: CheckFlags, found: Configuration) -> Severity:
    """The lowest severity that makes the exit code 1."""
    return Severity(flags.fail_on or found.settings.fail_on or "warning")


def allows_unknown(flags: CheckFlags, found: Configuration) -> bool:
    """True if an unknown answer does not make the exit code 1."""
    return flags.allow_unknown or found.settings.allow_unknown


def all_names(checkpoints: Sequence[str], from_file: str | None) -> list[str]:
    """The checkpoints that a user names, on the command line and in a file.

    Raises:
        CkptfixError: there is none, or the file cannot be read.
    """
    names = [*checkpoints, *(_names_from(from_file) if from_file is not None else ())]
    if not names:
        raise CkptfixError("no checkpoint given", advice="pass one, or use --from-file FILE")
    return names


def _names_from(path: str) -> list[str]:
    """One checkpoint per line of a file, or of stdin for `-`; # starts a comment.

    Raises:
        CkptfixError: it cannot be read, or names none.
    """
    shown = visible(path)
    if path == "-" and sys.stdin is None:
        raise CkptfixError("--from-file -: standard input is closed")
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CkptfixError(f"--from-file {shown}: {reason}") from error
    found = [name for line_ in text.splitlines() if (name := line_.partition("#")[0].strip())]
    if not found:
        raise CkptfixError(f"--from-file {shown}: names no checkpoint")
    return found
