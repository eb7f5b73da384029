"""Machine-readable reports; `schema` changes when a field changes its meaning or goes away."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ckptfix import __version__
from ckptfix.report.inspection import Inspection
from ckptfix.report.matrix import verdicts_json
from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.verdict import TargetVerdict

SCHEMA = 1


def check_json(
    name: str,
    name_map: NameMap,
    findings: Sequence[Finding],
    verdicts: Sequence[TargetVerdict] = (),
) -> str:
    """The report of `check --json`."""
    return _dump(
        {
            "schema": SCHEMA,
            "ckptfix": __version__,
            "checkpoint": name,
            "name_map": name_map.origin,
            "clean": not findings and not any(verdict.fails for verdict in verdicts),
            "counts": {
                severity.value: sum(RULES[f.code].severity is severity for f in findings)
                for severity in Severity
            },
            "findings": [_finding(finding) for finding in findings],
            "runtimes": verdicts_json(verdicts),
        }
    )


def _finding(finding: Finding) -> dict[str, Any]:
    rule = RULES[finding.code]
    return {
        "code": finding.code,
        "severity": rule.severity.value,
        "subject": finding.subject,
        "message": finding.message,
        "expected": finding.expected or None,
        "file": finding.place.file,
        "pointer": finding.place.pointer,
        "tensor": finding.place.tensor,
        "advice": finding.advice,
        "fixed_by_rewrite": rule.fixed_by_rewrite,
        "modules": list(finding.modules),
    }


def inspect_json(inspection: Inspection) -> str:
    """The report of `inspect --json`."""
    return _dump({"schema": SCHEMA, "ckptfix": __version__, **asdict(inspection)})


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
