"""What `ckptfix check` does: every checkpoint on its own, then one report."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckptfix.checkpoint.checkpoint import METADATA_FILES, Checkpoint
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.cli.configuration import Configuration
from ckptfix.cli.judging import asked_targets, judge_all, known_targets, without_releases
from ckptfix.cli.limits import limited
from ckptfix.cli.loading import builtin_name_map, load, own_name_map
from ckptfix.errors import CkptfixError
from ckptfix.names import visible
from ckptfix.report.check_report import CheckedCheckpoint, CheckReport
from ckptfix.report.console import line, show
from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.folded import holds_for_all, with_all_experts
from ckptfix.rules.registry import RULES, find_all
from ckptfix.rules.selection import EVERY, Selection, parse_codes
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict, judge


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


def check_all(directories: Sequence[str], options: CheckOptions) -> CheckReport:
    """Check every directory; one that cannot be checked does not stop the others."""
    checked = []
    for directory in dict.fromkeys(map(_checkpoint_of, directories)):
        try:
            with limited():
                checked.append(_check(directory, options))
        except CkptfixError as error:
            told = _with_directory(directory, error)
            show([line(f"error: {told}")], sys.stderr)
            checked.append(CheckedCheckpoint(directory, error=told))
    return CheckReport(tuple(checked), options.fail_on, Path.cwd())


def _checkpoint_of(path: str) -> str:
    """The directory of a metadata file: what `pre-commit` names are the files that changed."""
    named = Path(path)
    if named.name in (*METADATA_FILES, INDEX_FILE) and not named.is_dir():
        return str(named.parent)
    return path


def _check(directory: str, options: CheckOptions) -> CheckedCheckpoint:
    selection = options.selection.without(options.configuration.ignored_in(directory))
    checkpoint = load(directory)
    examined = _examine(checkpoint, options)
    found = examined.findings
    counted = [finding for finding in found if selection.takes(finding.code)]
    left_out = (f.code for f in found if not selection.takes(f.code))
    return CheckedCheckpoint(
        directory,
        name_map=examined.name_map.origin,
        rules=tuple(filter(selection.takes, RULES)),
        findings=tuple(_with_lines(counted, checkpoint)),
        ignored=Counter(left_out),
        verdicts=examined.verdicts,
        outlook=examined.outlook if options.for_people else None,
    )


@dataclass(frozen=True)
class _Examined:
    name_map: NameMap
    verdicts: tuple[TargetVerdict, ...]
    """Of the releases asked about."""
    findings: tuple[Finding, ...]
    outlook: tuple[TargetVerdict, ...]
    """The verdicts, or those of every known release where the user asked about none."""


def _examine(checkpoint: Checkpoint, options: CheckOptions) -> _Examined:
    """What is found, in the folded checkpoint if that says all."""
    if checkpoint.folded is not checkpoint and options.own_map is None:
        examined = _examine_as_it_is(checkpoint.folded, options)
        if holds_for_all(examined.findings, examined.verdicts or examined.outlook):
            if options.for_people:
                return examined
            verdicts = tuple(with_all_experts(checkpoint, v) for v in examined.verdicts)
            return replace(examined, verdicts=verdicts)
    return _examine_as_it_is(checkpoint, options)


def _examine_as_it_is(checkpoint: Checkpoint, options: CheckOptions) -> _Examined:
    name_map = options.own_map or builtin_name_map(checkpoint)
    verdicts = judge_all(checkpoint, options.targets)
    found = find_all(checkpoint, without_releases(name_map) if verdicts else name_map, verdicts)
    outlook = verdicts if verdicts or not options.for_people else _outlook(checkpoint)
    return _Examined(name_map, verdicts, found, outlook)


def _outlook(checkpoint: Checkpoint) -> tuple[TargetVerdict, ...]:
    return tuple(judge(checkpoint, target) for target in known_targets(checkpoint))


def _with_lines(findings: Iterable[Finding], checkpoint: Checkpoint) -> Iterable[Finding]:
    """The same findings, with the lines of their places where the file is JSON."""
    for finding in findings:
        place = finding.place
        document = checkpoint.documents.get(place.file)
        if document is not None and place.pointer is not None:
            line_ = document.line_of_pointer(place.pointer)
            finding = replace(finding, place=replace(place, line=line_))  # noqa: PLW2901
        yield finding


def _with_directory(directory: str, error: CkptfixError) -> str:
    """The sentence, with the checkpoint it is about: there may be several."""
    name = visible(directory)
    if error.place is not None:
        return f"{name.rstrip('/')}/{error}"
    return str(error) if name in str(error) else f"{name}: {error}"
