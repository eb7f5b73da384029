"""What `ckptfix check` does: every checkpoint on its own, then one report."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.cli.judging import asked_targets, judge_all, without_releases
from ckptfix.cli.loading import builtin_name_map, load, own_name_map
from ckptfix.errors import CkptfixError
from ckptfix.names import visible
from ckptfix.report.check_report import CheckedCheckpoint, CheckReport
from ckptfix.report.console import line, show
from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.registry import find_all
from ckptfix.rules.selection import Selection
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.targets import Target


@dataclass(frozen=True)
class CheckOptions:
    """What the flags ask for."""

    maps: tuple[str, ...]
    mapper: str | None
    runtimes: tuple[str, ...]
    selection: Selection
    fail_on: Severity


def check_all(directories: Sequence[str], options: CheckOptions) -> CheckReport:
    """Check every directory; one that cannot be checked does not stop the others.

    Raises:
        CkptfixError: the options make no sense for any checkpoint.
    """
    targets = asked_targets(options.runtimes)
    own_map = own_name_map(options.maps, options.mapper)
    checked = []
    for directory in dict.fromkeys(directories):
        try:
            checked.append(_check(directory, targets, own_map, options))
        except CkptfixError as error:
            told = _with_directory(directory, error)
            show([line(f"error: {told}")], sys.stderr)
            checked.append(CheckedCheckpoint(directory, error=told))
    return CheckReport(tuple(checked), options.fail_on, Path.cwd())


def _check(
    directory: str, targets: Sequence[Target], own_map: NameMap | None, options: CheckOptions
) -> CheckedCheckpoint:
    checkpoint = load(directory)
    name_map = own_map or builtin_name_map(checkpoint)
    verdicts = judge_all(checkpoint, targets)
    found = find_all(checkpoint, without_releases(name_map) if verdicts else name_map, verdicts)
    counted = [finding for finding in found if options.selection.takes(finding.code)]
    left_out = (f.code for f in found if not options.selection.takes(f.code))
    return CheckedCheckpoint(
        directory,
        name_map=name_map.origin,
        findings=tuple(_with_lines(counted, checkpoint)),
        ignored=Counter(left_out),
        verdicts=verdicts,
    )


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
