"""`check --format json`: the types are the schema, docs/check.schema.json is made from them."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ckptfix import __version__
from ckptfix.operations.checked import CheckedCheckpoint, count_severities
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import Line, line
from ckptfix.report.folding import fold_experts, like_as_one
from ckptfix.report.json_output import indented
from ckptfix.report.spelling import RepairCommand, repair_command
from ckptfix.rules.finding import Finding, Severity
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
    expected: Annotated[str | None, Meta(description="The correct name.")]
    file: Annotated[str, Meta(description="Relative to the checkpoint.")]
    pointer: Annotated[str | None, Meta(description="JSON pointer (RFC 6901) into the file.")]
    line: Annotated[int | None, Meta(description="1-based, where the file is JSON metadata.")]
    tensor: Annotated[str | None, Meta(description="Name of the tensor in the file.")]
    advice: str
    fixed_by: Annotated[
        RepairCommand | None,
        Meta(description="The ckptfix command that repairs it, as planned; null where none does."),
    ]
    modules: Annotated[list[str], Meta(description="Checkpoint names of the modules concerned.")]
    releases: Annotated[
        list[str],
        Meta(description="Of the requested releases; empty if it does not depend on one."),
    ]
    count: Annotated[
        int,
        Meta(description="Places that it is for; of many alike the rest is one finding."),
    ]


class ModuleObject(_Object, frozen=True):
    """One runtime module in one release."""

    name: Annotated[str, Meta(description="Runtime name.")]
    kind: str
    members: Annotated[list[str], Meta(description="Checkpoint names of its members.")]
    stored: str
    resolved: str
    agrees: bool
    reason: Annotated[str | None, Meta(description="Why the two differ.")]


class ReleaseObject(_Object, frozen=True):
    """What one release would make of the checkpoint."""

    runtime: str
    version: str
    profile: Annotated[str, Meta(description="The known release whose profile was used.")]
    refused: Annotated[bool, Meta(description="It would stop before building any layer.")]
    loads: Annotated[
        Literal["yes", "no", "unknown"],
        Meta(description="Whether it loads the checkpoint correctly."),
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
    error: Annotated[str | None, Meta(description="Why the check failed.")]
    name_map: Annotated[str | None, Meta(description="Origin of the name map.")]
    clean: bool
    counts: Counts
    ignored: Annotated[dict[str, int], Meta(description="Code -> number of ignored findings.")]
    findings: list[FindingObject]
    runtimes: list[ReleaseObject]


class ReportObject(_Object, frozen=True):
    """The report of one call."""

    schema: Literal[2]
    ckptfix: Annotated[str, Meta(description="Version of ckptfix.")]
    exit_code: Annotated[int, Meta(description="0; 1 if there are findings; 2 if a check failed.")]
    checkpoints: list[CheckpointObject]


def check_json(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """Everything; unless verbose, of like findings the first with their number."""
    yield line(indented(report_object(report, verbose)))


def report_object(report: CheckReport, verbose: bool) -> ReportObject:
    """The report as the schema has it."""
    checkpoints = [_checkpoint(checked, verbose) for checked in report.checkpoints]
    return ReportObject(SCHEMA, __version__, report.exit_code, checkpoints)


def check_schema() -> str:
    """The JSON Schema of the report."""
    return json_schema(ReportObject)


def json_schema(type_: type[msgspec.Struct]) -> str:
    """The JSON Schema of a report's type."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | msgspec.json.schema(type_), indent=2) + "\n"


def _checkpoint(checked: CheckedCheckpoint, verbose: bool) -> CheckpointObject:
    counts, banks = count_severities(checked.findings), checked.banks
    return CheckpointObject(
        checked.name,
        checked.error or None,
        None if checked.error else checked.name_map,
        checked.clean,
        Counts(counts[Severity.ERROR], counts[Severity.WARNING]),
        dict(checked.ignored),
        [finding_object(f) for f in (checked.findings if verbose else like_as_one(checked))],
        [
            release_object(verdict, _as_they_are if verbose else partial(fold_experts, banks=banks))
            for verdict in checked.verdicts
        ],
    )


def _as_they_are(names: Sequence[str]) -> list[str]:
    return list(names)


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
        repair_command(finding.fixed_by),
        list(finding.modules),
        list(finding.releases),
        finding.count,
    )


def release_object(
    verdict: TargetVerdict, members: Callable[[Sequence[str]], list[str]] = _as_they_are
) -> ReleaseObject:
    """A verdict, as every report has it.

    Args:
        verdict: of one release.
        members: lists the members of a module.
    """
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
        [_module(module, members(module.members)) for module in verdict.modules],
    )


def _module(module: ModuleVerdict, members: list[str]) -> ModuleObject:
    return ModuleObject(
        module.name,
        module.kind,
        members,
        module.stored,
        module.resolved,
        module.agrees,
        module.reason or None,
    )
