"""`check --format jsonl`: one line per checkpoint, each a report of its own, in schema 2."""

from collections.abc import Iterator
from dataclasses import replace

from ckptfix.report.check_json import report_object
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import line
from ckptfix.report.json_output import compact
from ckptfix.report.layout import Line


def check_jsonl(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """Every checkpoint as a report of its own."""
    for checked in report.checkpoints:
        alone = report_object(replace(report, checkpoints=(checked,)), verbose)
        yield line(compact(alone))
