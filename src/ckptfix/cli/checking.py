"""What `ckptfix check` does: every checkpoint on its own, then one report."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from ckptfix.checkpoint.checkpoint import METADATA_FILES, Checkpoint
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.cli.configuration import Configuration
from ckptfix.cli.examining import examine
from ckptfix.cli.judging import asked_targets
from ckptfix.cli.limits import limited
from ckptfix.cli.loading import load_opened, open_told, own_name_map
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.remote.opening import HERE_AND_THERE, Reach
from ckptfix.remote.reference import (
    Directory,
    Reference,
    Repository,
    Url,
    is_remote,
    parse_reference,
)
from ckptfix.report.check_report import CheckedCheckpoint, CheckReport
from ckptfix.report.console import line, show
from ckptfix.report.progress import Watch, watching
from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.registry import RULES
from ckptfix.rules.selection import EVERY, Selection, parse_codes
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible


@dataclass(frozen=True)
class CheckFlags:
    """What the command line says; None where it says nothing."""

    maps: tuple[str, ...]
    mapper: str | None
    runtimes: Sequence[str] | None
    select: Sequence[str] | None
    ignore: Sequence[str] | None
    fail_on: str | None


@dataclass(frozen=True)
class CheckOptions:
    """What the flags and the configuration come to."""

    own_map: NameMap | None
    targets: tuple[Target, ...]
    selection: Selection
    fail_on: Severity
    configuration: Configuration
    for_people: bool = True
    """Ask every known release where the user names none, to say where it would load."""
    reach: Reach = HERE_AND_THERE
    jobs: int = 1
    """Checkpoints read at a time, where one is not on this machine."""
    brief: bool = False


def options_of(flags: CheckFlags, found: Configuration, *, for_people: bool = True) -> CheckOptions:
    """Flags first, then the configuration.

    Raises:
        CkptfixError: an unknown runtime or code, a map that cannot be read.
    """
    settings = found.settings
    select = parse_codes(flags.select, "--select") if flags.select else settings.select
    ignore = parse_codes(flags.ignore, "--ignore") if flags.ignore else settings.ignore
    return CheckOptions(
        own_name_map(flags.maps, flags.mapper),
        asked_targets(flags.runtimes or settings.runtimes),
        Selection(select or (EVERY,), ignore),
        Severity(flags.fail_on or settings.fail_on or "warning"),
        found,
        for_people,
    )


def check_all(
    names: Sequence[str],
    options: CheckOptions,
    done: Callable[[CheckReport], None] | None = None,
) -> CheckReport:
    """Check every checkpoint; one that cannot be checked does not stop the others.

    Args:
        names: directories, repositories, URLs; metadata files stand for their directory.
        options: what counts, and how many checkpoints that are not directories at a time.
        done: called with the report on each checkpoint as it is done.
    """
    unlike = list(dict.fromkeys(map(_checkpoint_of, names)))
    report = partial(CheckReport, fail_on=options.fail_on, base=Path.cwd(), brief=options.brief)
    checked: dict[str, CheckedCheckpoint] = {}
    with watching(sys.stderr) as watch:
        for name, loaded in _loaded(unlike, options, watch):
            found = checked[name] = _check_or_tell(name, loaded, options)
            if done is not None:
                done(report((found,)))
    return report(tuple(checked[name] for name in unlike))


_Loaded = Callable[[], tuple[Reference, Checkpoint]]
"""Raises what went wrong while it was read."""


def _loaded(
    names: Sequence[str], options: CheckOptions, watch: Watch
) -> Iterator[tuple[str, _Loaded]]:
    """Each name and its checkpoint; what is not on this machine is read ahead, several at a time.

    Only reading is done by threads: the time of a stranger's expressions can be limited in the
    main thread only.
    """
    load = partial(_load, options=options, watch=watch)
    if not any(map(is_remote_name, names)):
        yield from ((name, partial(load, name)) for name in names)
        return
    left = iter(names)
    with ThreadPoolExecutor(options.jobs) as pool:
        # Read ahead by `jobs` and no more: judging is slower, and what waits for it takes memory.
        waiting = {pool.submit(load, name): name for name in islice(left, options.jobs)}
        try:
            while waiting:
                finished = next(as_completed(waiting))
                name = waiting.pop(finished)
                yield name, finished.result
                del finished
                waiting |= {pool.submit(load, name): name for name in islice(left, 1)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _load(name: str, options: CheckOptions, watch: Watch) -> tuple[Reference, Checkpoint]:
    reference = parse_reference(name, options.reach.revision)
    return reference, load_opened(open_told(reference, options.reach), watch)


def _check_or_tell(name: str, loaded: _Loaded, options: CheckOptions) -> CheckedCheckpoint:
    try:
        reference, checkpoint = loaded()
        with limited():
            return _check(reference, checkpoint, options)
    except CkptfixError as error:
        shown = _shown(name, options)
        told = _with_name(shown, error)
        show([line(f"error: {told}")], sys.stderr)
        return CheckedCheckpoint(shown, error=told)


def _shown(name: str, options: CheckOptions) -> str:
    try:
        return str(parse_reference(name, options.reach.revision))
    except CkptfixError:
        return name


def is_remote_name(name: str) -> bool:
    """True when something must be fetched to check it, as far as its name tells."""
    try:
        return is_remote(name)
    except CkptfixError:
        return False


def _checkpoint_of(path: str) -> str:
    """The directory of a metadata file: what `pre-commit` names are the files that changed."""
    named = Path(path)
    is_file = named.name in (*METADATA_FILES, INDEX_FILE) and not named.is_dir()
    return str(named.parent) if is_file and "://" not in path else path


_KINDS: Final[dict[type, Literal["directory", "repository", "url"]]] = {
    Directory: "directory",
    Repository: "repository",
    Url: "url",
}


def _check(
    reference: Reference, checkpoint: Checkpoint, options: CheckOptions
) -> CheckedCheckpoint:
    name = str(reference)
    selection = options.selection.without(options.configuration.ignored_in(name))
    examined = examine(checkpoint, options.own_map, options.targets, ask_all=options.for_people)
    found = examined.findings
    rules = {rule: None for rule in RULES.values() if selection.takes(rule.code)}
    counted = [finding for finding in found if finding.rule in rules]
    left_out = (finding.code for finding in found if finding.rule not in rules)
    return CheckedCheckpoint(
        name,
        kind=_KINDS[type(reference)],
        name_map=examined.name_map.origin,
        rules=tuple(rules),
        findings=tuple(_with_lines(counted, checkpoint)),
        ignored=Counter(left_out),
        verdicts=examined.verdicts,
        outlook=examined.outlook if options.for_people else None,
    )


def _with_lines(findings: Iterable[Finding], checkpoint: Checkpoint) -> Iterable[Finding]:
    """The same findings, with the lines of their places where the file is JSON."""
    for finding in findings:
        place, related = _with_line(finding.place, checkpoint), finding.related
        if related:
            related = tuple(replace(r, place=_with_line(r.place, checkpoint)) for r in related)
        same = place is finding.place and related is finding.related
        yield finding if same else replace(finding, place=place, related=related)


def _with_line(place: Place, checkpoint: Checkpoint) -> Place:
    document = checkpoint.documents.get(place.file)
    if document is None or place.pointer is None:
        return place
    return replace(place, line=document.line_of_pointer(place.pointer))


def _with_name(checkpoint: str, error: CkptfixError) -> str:
    """The sentence, with the checkpoint it is about: there may be several."""
    name = visible(checkpoint)
    if error.place is not None:
        return str(error) if name in error.place.file else f"{name.rstrip('/')}/{error}"
    return str(error) if name in str(error) else f"{name}: {error}"


def names_from(path: str) -> list[str]:
    """One checkpoint a line of a file, or of stdin for `-`; # starts a comment.

    Raises:
        CkptfixError: it cannot be read, or names none.
    """
    shown = visible(path)
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CkptfixError(f"--from-file {shown}: {reason}") from error
    found = [name for line_ in text.splitlines() if (name := line_.partition("#")[0].strip())]
    if not found:
        raise CkptfixError(f"--from-file {shown}: names no checkpoint")
    return found
