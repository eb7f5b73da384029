"""`inspect --json`: docs/inspect.schema.json is generated from the types."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from ckptfix import __version__
from ckptfix.operations.inspect import Inspection
from ckptfix.report.console import line
from ckptfix.report.dataclass_schema import report_schema
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line

SCHEMA: Final = 1
"""Changes when a field changes its meaning or goes away."""


def inspect_schema() -> str:
    """docs/inspect.schema.json: the JSON Schema of the report."""
    return report_schema("InspectionObject", SCHEMA, Inspection)


def inspection_json(inspection: Inspection) -> Iterator[Line]:
    """The report of `inspect --json`."""
    made = {"schema": SCHEMA, "ckptfix": __version__, **asdict(inspection)}
    yield line(indented(made))
