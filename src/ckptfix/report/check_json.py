"""`check --format json`: the types are the schema, docs/check.schema.json is made from them."""

import json
from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ckptfix import __version__
from ckptfix.operations.checked import CheckedCheckpoint, count_severities
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import Line, line
from ckptfix.report.json_output import indented
from ckptfix.rules.finding import Finding, RepairCommand, Severity
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.verdict import TargetVerdict

SCHEMA: Final = 2
"""Changes when a field changes its meaning or goes away; a new field leaves it as it is."""


class _Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object; a field is there even where it is null."""


class Counts(_Object, frozen=True):
    """Number of findings by severity."""

    error: int
    warning: int


class FindingObject(_Object, frozen=True):
    """A broken rule at a place."""

    code: Annotated[str, Meta(pattern="^CKF[0-9]{3}$")]
    severity: Literal["error", "warning"]
    subject: Annotated[str, Meta(description="The module, pattern, tensor or file at fault.")]
    message: Annotated[str, Meta(description="Continues a sentence that starts with the subject.")]
    expected: Annotated[str | None, Meta(description="The name that should stand there instead.")]
    file: Annotated[str, Meta(description="Relative to the checkpoint.")]
    pointer: Annotated[str | None, Meta(description="JSON pointer (RFC 6901) into the file.")]
    line: Annotated[int | None, Meta(description="1-based, where the file is JSON metadata.")]
    tensor: Annotated[str | None, Meta(description="Name of the tensor in the file.")]
    advice: str
    fixed_by: Annotated[
        RepairCommand | None,
        Meta(description="The ckptfix command that repairs it."),
    ]
    modules: Annotated[list[str], Meta(description="Checkpoint names of the modules concerned.")]
    releases: Annotated[
        list[str],
        Meta(description="Of those asked about; empty if it does not depend on a release."),
    ]


class ModuleObject(_Object, frozen=True):
    """One runtime module in one release."""

    name: Annotated[str, Meta(description="Runtime name.")]
    kind: str
    members: Annotated[list[str], Meta(description="Checkpoint names of what ends in it.")]
    stored: str
    resolved: str
    agrees: bool
    reason: Annotated[str | None, Meta(description="Why the two differ.")]


class ReleaseObject(_Object, frozen=True):
    """What one release would make of the checkpoint."""

    runtime: str
    version: str
    profile: Annotated[str, Meta(description="The known release that answers for it.")]
    refused: Annotated[bool, Meta(description="It would stop before it builds a layer.")]
    loads: Annotated[
        Literal["yes", "no", "unknown"],
        Meta(description="Whether it loads the checkpoint as it is stored."),
    ]
    effect: Annotated[
        Literal["stops while loading", "computes with wrong weights"] | None,
        Meta(description="What a user would see; null unless `loads` is no."),
    ]
    reasons: Annotated[
        list[str], Meta(description="Why not, or why it is unknown; empty if it loads.")
    ]
    problem: Annotated[str | None, Meta(description="Why there is no verdict by module.")]
    modules: list[ModuleObject]


class CheckpointObject(_Object, frozen=True):
    """One checkpoint."""

    checkpoint: Annotated[str, Meta(description="As the user named it.")]
    error: Annotated[str | None, Meta(description="Why it could not be checked.")]
    name_map: Annotated[str | None, Meta(description="Where the name map comes from.")]
    clean: bool
    counts: Counts
    ignored: Annotated[dict[str, int], Meta(description="Code -> findings left out on request.")]
    findings: list[FindingObject]
    runtimes: list[ReleaseObject]


class ReportObject(_Object, frozen=True):
    """The report of one call."""

    schema: Literal[2]
    ckptfix: Annotated[str, Meta(description="Version that wrote it.")]
    exit_code: Annotated[int, Meta(description="0, 1 with findings, 2 if one was not checked.")]
    checkpoints: list[CheckpointObject]


def check_json(report: CheckReport, _verbose: bool) -> Iterator[Line]:
    """Everything, whether verbose or not."""
    yield line(indented(report_object(report)))


def report_object(report: CheckReport) -> ReportObject:
    """The report as the schema has it."""
    return ReportObject(
        SCHEMA, __version__, report.exit_code, [_checkpoint(c) for c in report.checkpoints]
    )


def check_schema() -> str:
    """The JSON Schema of the report."""
    return json_schema(ReportObject)


def json_schema(type_: type[msgspec.Struct]) -> str:
    """The JSON Schema of a report's type."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | msgspec.json.schema(type_), indent=2) + "\n"


def _checkpoint(checked: CheckedCheckpoint) -> CheckpointObject:
    counts = count_severities(checked.findings)
    return CheckpointObject(
        checked.name,
        checked.error or None,
        None if checked.error else checked.name_map,
        checked.clean,
        Counts(counts[Severity.ERROR], counts[Severity.WARNING]),
        dict(checked.ignored),
        [finding_object(finding) for finding in checked.findings],
        [release_object(verdict) for verdict in checked.verdicts],
    )


def finding_object(finding: Finding) -> FindingObject:
    """A finding, as every report has it."""
    return FindingObject(
        finding.code,
        finding.rule.severity.value,
        finding.subject,
        finding.message,
        finding.expected or None,
        finding.place.file,
        finding.place.pointer,
        finding.place.line,
        finding.place.tensor,
        finding.advice,
        finding.fixed_by or None,
        list(finding.modules),
        list(finding.releases),
    )


def release_object(verdict: TargetVerdict) -> ReleaseObject:
    """A verdict, as every report has it."""
    loads = verdict.loads
    return ReleaseObject(
        verdict.target.runtime,
        verdict.target.version,
        verdict.target.profile_version,
        verdict.refused,
        loads.answer.value,
        loads.effect.value if loads.effect else None,
        [loads.unknown_because] if loads.unknown_because else list(map(str, loads.reasons)),
        verdict.problem or None,
        [_module(module) for module in verdict.modules],
    )


def _module(module: ModuleVerdict) -> ModuleObject:
    return ModuleObject(
        module.name,
        module.kind,
        list(module.members),
        module.stored,
        module.resolved,
        module.agrees,
        module.reason or None,
    )
