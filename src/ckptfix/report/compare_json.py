"""`compare --json`: docs/compare.schema.json is generated from the types."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from ckptfix import __version__
from ckptfix.operations.compare import Comparison
from ckptfix.report.console import line
from ckptfix.report.dataclass_schema import report_schema
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line

SCHEMA: Final = 1
"""Changes when a field changes its meaning or goes away."""


def compare_schema() -> str:
    """docs/compare.schema.json: the JSON Schema of the report."""
    return report_schema("ComparisonObject", SCHEMA, Comparison, passes=bool)


def comparison_json(comparison: Comparison) -> Iterator[Line]:
    """The report of `compare --json`: every name, and the verdicts."""
    made = {
        "schema": SCHEMA,
        "ckptfix": __version__,
        "passes": comparison.passes,
        **asdict(comparison),
    }
    yield line(indented(made))
