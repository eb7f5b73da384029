"""`check --format json`: docs/check.schema.json is generated from the types."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ckptfix import __version__
from ckptfix.operations.checked import CheckedCheckpoint, ReleaseAnswer
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import line
from ckptfix.report.folding import fold_experts, like_as_one
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line
from ckptfix.report.spelling import RepairCommand, repair_command
from ckptfix.rules.finding import Finding, Severity
from ckptfix.runtimes.module_verdict import ModuleVerdict

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
        Meta(description="The command that repairs it (whole: `advice`); null where none does."),
    ]
    modules: Annotated[list[str], Meta(description="Checkpoint names of the modules concerned.")]
    releases: Annotated[
        list[str],
        Meta(description="Of the requested releases; empty if it does not depend on one."),
    ]
    count: Annotated[
        int,
        Meta(description="Number of places; beyond a limit, similar findings are merged into one."),
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
    """The answer of one release."""

    runtime: str
    version: str
    profile: Annotated[str, Meta(description="The known release whose profile was used.")]
    refused: Annotated[bool, Meta(description="It would stop before building any layer.")]
    loads: Annotated[
        Literal["yes", "no", "unknown"],
        Meta(description="Whether it loads the checkpoint as it is stored."),
    ]
    effect: Annotated[
        Literal["stops while loading", "loads and computes with the wrong weights"] | None,
        Meta(description="What a user would see; null unless `loads` is no."),
    ]
    reasons: Annotated[
        list[str], Meta(description="Why not, or why it is unknown; empty if it loads.")
    ]
    problem: Annotated[str | None, Meta(description="Why there is no verdict by module.")]
    modules: Annotated[
        list[ModuleObject],
        Meta(description="Only for requested releases; empty if none was requested."),
    ]
    installed: Annotated[
        str | None, Meta(description="The Python whose runtime was queried; null for a profile.")
    ]
    options: Annotated[
        list[str],
        Meta(description="Options that its server needs so that it loads the checkpoint."),
    ]
    notes: Annotated[
        list[str],
        Meta(
            description="How it was queried, where its profile gives a different answer, and whose "
            "answer this is if the release is not known."
        ),
    ]
    counts: Annotated[
        bool,
        Meta(
            description="The exit code depends on it: it was requested, or none was and it is "
            "the newest of its runtime that registers the architecture."
        ),
    ]


class DraftObject(_Object, frozen=True):
    """The answer of one release for the draft layers (MTP, NextN)."""

    runtime: str
    version: str
    architecture: Annotated[str, Meta(description="The class that it builds for them.")]
    loads: Annotated[
        Literal["yes", "no", "unknown"],
        Meta(description="Whether it loads them as stored, served with speculative decoding."),
    ]
    reason: Annotated[
        str | None, Meta(description="Why not, or why it is unknown; null if it loads.")
    ]


class CheckpointObject(_Object, frozen=True):
    """One checkpoint."""

    checkpoint: Annotated[str, Meta(description="As the user named it.")]
    error: Annotated[str | None, Meta(description="Why the check failed.")]
    name_map: Annotated[str | None, Meta(description="Origin of the name map.")]
    loads: Annotated[
        Literal["yes", "no", "unknown"] | None,
        Meta(
            description="Of all releases that count: yes if all are yes, no if one is no; null "
            "if the check failed."
        ),
    ]
    clean: Annotated[bool, Meta(description="Nothing was found, and `loads` is yes.")]
    counts: Counts
    ignored: Annotated[dict[str, int], Meta(description="Code -> number of ignored findings.")]
    findings: list[FindingObject]
    runtimes: Annotated[
        list[ReleaseObject],
        Meta(description="The requested releases; every known one if none was requested."),
    ]
    drafts: Annotated[
        list[DraftObject],
        Meta(
            description="The releases that count, if draft layers are stored and they have a class "
            "for them. The exit code does not depend on it."
        ),
    ]


class SkippedObject(_Object, frozen=True):
    """What is not a quantized safetensors checkpoint."""

    checkpoint: Annotated[str, Meta(description="As the user named it.")]
    reason: Annotated[str, Meta(description="What it is instead.")]


class ReportObject(_Object, frozen=True):
    """The report of one call."""

    schema: Literal[2]
    ckptfix: Annotated[str, Meta(description="Version of ckptfix.")]
    exit_code: Annotated[
        int,
        Meta(
            description="0; 1 if a release that counts does not load a checkpoint, if it is not "
            "known, or if a finding reaches the fail level; 2 if a check failed."
        ),
    ]
    checkpoints: list[CheckpointObject]
    skipped: Annotated[
        list[SkippedObject],
        Meta(description="What --skip-unsupported skipped; it does not count."),
    ]


def check_json(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """Everything; unless verbose, similar findings as one with their number."""
    yield line(indented(report_object(report, verbose)))


def report_object(report: CheckReport, verbose: bool) -> ReportObject:
    """The report as the schema has it."""
    checkpoints = [_checkpoint(checked, verbose) for checked in report.checkpoints]
    skipped = [SkippedObject(one.name, one.error) for one in report.skipped]
    return ReportObject(SCHEMA, __version__, report.exit_code, checkpoints, skipped)


def check_schema() -> str:
    """The JSON Schema of the report."""
    return json_schema(ReportObject)


def json_schema(type_: type[msgspec.Struct]) -> str:
    """The JSON Schema of a report's type."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | msgspec.json.schema(type_), indent=2) + "\n"


def _checkpoint(checked: CheckedCheckpoint, verbose: bool) -> CheckpointObject:
    counts = checked.counts
    members = list if verbose else partial(fold_experts, banks=checked.banks)
    return CheckpointObject(
        checked.name,
        checked.error or None,
        None if checked.error else checked.name_map,
        None if checked.error else checked.loads.value,
        checked.clean,
        Counts(counts[Severity.ERROR], counts[Severity.WARNING]),
        dict(checked.ignored),
        [finding_object(f) for f in (checked.findings if verbose else like_as_one(checked))],
        [release_object(a, members if checked.requested else None) for a in checked.runtimes],
        [
            DraftObject(
                draft.target.runtime,
                draft.target.version,
                draft.architecture,
                draft.loads.answer.value,
                draft.loads.in_short or None,
            )
            for draft in checked.drafts
        ],
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
        repair_command(finding.fixed_by),
        list(finding.modules),
        list(finding.releases),
        finding.count,
    )


def release_object(
    answer: ReleaseAnswer, members: Callable[[Sequence[str]], list[str]] | None = list
) -> ReleaseObject:
    """An answer, as every report has it.

    Args:
        answer: of one release.
        members: lists the members of a module; None where no module is listed.
    """
    verdict, effect = answer.verdict, answer.effect
    return ReleaseObject(
        answer.runtime,
        answer.version,
        answer.target.profile_version,
        verdict.refused,
        answer.loads.value,
        effect.value if effect else None,
        list(answer.reasons),
        verdict.problem or None,
        [_module(m, members(m.members)) for m in verdict.modules] if members else [],
        answer.target.installed.python if answer.target.installed else None,
        list(answer.answer.options),
        [*filter(None, [answer.target.stands_in]), *verdict.notes],
        answer.counts,
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
