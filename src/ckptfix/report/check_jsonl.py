"""`check --format jsonl`: one line a checkpoint, each a report of its own, in schema 2."""

import json
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from ckptfix.report.check_json import report_object
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import Line, line


def check_jsonl(report: CheckReport, _verbose: bool) -> Iterator[Line]:
    """Every checkpoint as the report of a call that had asked for it alone."""
    for checked in report.checkpoints:
        alone = report_object(replace(report, checkpoints=(checked,)))
        yield line(json.dumps(msgspec.to_builtins(alone)))
