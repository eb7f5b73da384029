"""Several checkpoints against several releases: one row a checkpoint, one column a release."""

from collections.abc import Iterator
from itertools import groupby

from packaging.version import Version

from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import Line, columns, count, line
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.text import visible


def table_lines(report: CheckReport) -> Iterator[Line]:
    """Will it load, for every checkpoint: on the releases asked about, else the newest known."""
    releases = _releases(report)
    rows = [("will it load", *map(str, releases), "findings")]
    rows += [_row(checked, releases) for checked in report.checkpoints]
    head, *body = columns(rows)
    yield line((head, "bold"))
    for checked, text in zip(report.checkpoints, body, strict=True):
        yield line((text, "green" if checked.clean else "red"))


def _releases(report: CheckReport) -> list[Target]:
    asked = {v.target: None for c in report.checkpoints for v in c.verdicts}
    if asked:
        return list(asked)
    known = {v.target for c in report.checkpoints for v in c.outlook or ()}
    by_runtime = sorted(known, key=lambda target: (target.runtime, Version(target.version)))
    newest = [list(same)[-1] for _, same in groupby(by_runtime, key=lambda t: t.runtime)]
    return newest[::-1]


def _row(checked: CheckedCheckpoint, releases: list[Target]) -> tuple[str, ...]:
    name = visible(checked.name)
    if checked.error:
        return (name, *("-" for _ in releases), "could not be checked")
    verdicts = {verdict.target: verdict for verdict in checked.outlook or ()}
    cells = (_cell(checked, verdicts.get(release)) for release in releases)
    return (name, *cells, f"{len(checked.findings):,}" if checked.findings else "clean")


def _cell(checked: CheckedCheckpoint, verdict: TargetVerdict | None) -> str:
    if verdict is None:
        return "not known"
    loads = checked.answer(verdict).loads
    if loads == "no" and verdict.wrong and not checked.blocking_codes:
        return f"no, {count(len(verdict.wrong), 'module')}"
    return "not known" if loads == "unknown" else loads
