"""What the formats for code scanning and CI annotations have in common.

GitHub shows 5,000 results of a SARIF file and 10 annotations of a step, so similar findings are
one result here, unless every one is requested.
"""

import os
from pathlib import PurePath

from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import count
from ckptfix.report.folding import Group, fold
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.rules.finding import Severity, number_of
from ckptfix.text import visible

MOST_SUBJECTS = 6
"""Groups of names spelled out in one message."""


def groups(checked: CheckedCheckpoint, verbose: bool) -> list[Group]:
    """The results of one checkpoint, errors first, so that truncation drops warnings."""
    findings = checked.findings
    made = [g for f in findings for g in fold([f])] if verbose else fold(findings)
    return sorted(made, key=lambda g: g.rule.severity is not Severity.ERROR)


def group_text(group: Group) -> str:
    """One sentence on what is wrong, and one on what to do."""
    names = [
        f"{subject} (expected {expected})" if expected else subject
        for subject, expected, _ in group.subjects[:MOST_SUBJECTS]
    ]
    hidden = sum(number for _, _, number in group.subjects[MOST_SUBJECTS:])
    if hidden:
        names.append(f"and {hidden:,} more")
    files = " and ".join(dict.fromkeys(finding.place.file for finding in group.members))
    number = number_of(group.members)
    total = f" ({count(number, 'finding')} in {files})" if number > 1 else ""
    return f"{', '.join(names)}: {group.message}{total}. Fix: {group.advice}."


def path_of(report: CheckReport, checked: CheckedCheckpoint, file: str) -> PurePath:
    """A file of a checkpoint, relative to the working directory if below it, else absolute."""
    path = PurePath(os.path.normpath(report.base / checked.name / file))
    return path.relative_to(report.base) if path.is_relative_to(report.base) else path


def answers_text(checked: CheckedCheckpoint) -> str:
    """What every release answers: `vllm 0.20.0 to 0.33.0: yes; vllm 0.17.1: no, ...`."""
    runs = runs_of_releases((a.target, visible(str(a.answer))) for a in checked.runtimes)
    return "; ".join(f"{release_range(releases)}: {text}" for releases, text in runs)
