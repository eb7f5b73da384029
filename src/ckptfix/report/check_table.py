"""Several checkpoints against several releases: one row per checkpoint, one column per release."""

from collections.abc import Sequence

from ckptfix.operations.checked import CheckedCheckpoint, ReleaseAnswer
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import count
from ckptfix.report.layout import Table, table
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible


def answer_table(report: CheckReport) -> Table:
    """Whether every checkpoint loads on the releases that count for any of them.

    Neighbouring releases with the same answers share a column.
    """
    releases = _releases(report)
    every = [_row(checked, releases) for checked in report.checkpoints]
    answers = ((release, tuple(r[i] for r in every)) for i, release in enumerate(releases, 1))
    runs = list(runs_of_releases(answers))
    rows = [("will it load", *(release_range(releases) for releases, _ in runs), "findings")]
    rows += [(row[0], *(column[i] for _, column in runs), row[-1]) for i, row in enumerate(every)]
    return table(rows, ["green" if checked.clean else "red" for checked in report.checkpoints])


def _releases(report: CheckReport) -> list[Target]:
    """In the requested order; for the newest releases, by runtime."""
    found = {answer.target: None for c in report.checkpoints for answer in c.counted}
    if any(checked.requested for checked in report.checkpoints):
        return list(found)
    order = known_runtimes()
    return sorted(found, key=lambda target: order.index(target.runtime))


def _row(checked: CheckedCheckpoint, releases: Sequence[Target]) -> tuple[str, ...]:
    name = visible(checked.name)
    if checked.error:
        return (name, *("-" for _ in releases), "check failed")
    answers = {answer.target: answer for answer in checked.counted}
    cells = (_cell(answers.get(release)) for release in releases)
    number = checked.number
    return (name, *cells, f"{number:,}" if number else "clean" if checked.clean else "none")


def _cell(answer: ReleaseAnswer | None) -> str:
    if answer is None:
        return "-"  # the newest that registers another architecture
    wrong = answer.verdict.wrong
    if answer.loads is Answer.NO and wrong and answer.answer == answer.verdict.loads:
        return f"no, {count(len(wrong), 'module')}"
    return str(answer.loads)
