"""`check --format jsonl`: one line per checkpoint, each a report of its own, in schema 2."""

from collections.abc import Iterator

from msgspec.structs import replace

from ckptfix.report.check_json import report_object
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import line
from ckptfix.report.json_output import compact
from ckptfix.report.layout import Line


def check_jsonl(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """Every checkpoint as a report of its own."""
    alone = [replace(report, checkpoints=(c,), skipped=()) for c in report.checkpoints]
    alone += [replace(report, checkpoints=(), skipped=(one,)) for one in report.skipped]
    yield from (line(compact(report_object(each, verbose))) for each in alone)
