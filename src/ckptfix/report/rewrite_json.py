"""`rewrite --json`: docs/rewrite.schema.json is generated from the types."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ckptfix import __version__
from ckptfix.operations.checked import ReleaseAnswer, answers_of_plan
from ckptfix.operations.overrides import Served
from ckptfix.report.check_json import json_schema
from ckptfix.report.console import line
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line
from ckptfix.report.rewrite_report import Rewritten
from ckptfix.report.serving import served_command
from ckptfix.rewriting.plan import FileChange
from ckptfix.rewriting.proof import Refusal
from ckptfix.rules.finding import Finding, numbers_by_rule

SCHEMA: Final = 1
"""Changes when a field changes its meaning or goes away; a new field leaves it as it is."""

_Effect = Literal["stops while loading", "loads and computes with the wrong weights"]


class _Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object; a field is there even where it is null."""


class FileObject(_Object, frozen=True):
    """A metadata file that changes, and the number of names or values by what is done to them."""

    file: Annotated[str, Meta(description="Relative to the checkpoint.")]
    renamed: int
    removed: int
    added: Annotated[int, Meta(description="Aliases.")]
    copied: int
    copied_from: Annotated[
        str | None,
        Meta(description="The file, or place in it, that had them."),
    ]
    set_from_tensors: int


class RefusalObject(_Object, frozen=True):
    """A reason why a rewrite would break something."""

    name: str
    reason: Annotated[str, Meta(description="Continues a sentence that starts with the name.")]
    file: str
    pointer: Annotated[str | None, Meta(description="JSON pointer (RFC 6901) into the file.")]


class AnswerObject(_Object, frozen=True):
    """Whether a release loads the checkpoint as it is stored."""

    loads: Literal["yes", "no", "unknown"]
    effect: Annotated[_Effect | None, Meta(description="Null unless `loads` is no.")]
    reasons: list[str]


class ReleaseObject(_Object, frozen=True):
    """A release that the rewrite was verified for."""

    runtime: str
    version: str
    before: AnswerObject
    after: AnswerObject


class ServedObject(_Object, frozen=True):
    """How a release is started with the checkpoint as it is."""

    runtime: str
    version: str
    loads: Annotated[bool, Meta(description="Whether it loads the checkpoint when started so.")]
    command: Annotated[str | None, Meta(description="For a shell; null if nothing helps.")]
    override: Annotated[
        str | None, Meta(description="JSON that is passed for values of config.json.")
    ]
    problem: Annotated[str | None, Meta(description="Why no override helps.")]


class RewrittenObject(_Object, frozen=True):
    """One checkpoint."""

    checkpoint: Annotated[str, Meta(description="As the user named it.")]
    outcome: Literal[
        "rewritten",
        "would be rewritten",
        "proposed",
        "unchanged",
        "refused",
        "failed",
        "restored",
        "backup deleted",
    ]
    error: Annotated[str | None, Meta(description="Why it failed.")]
    directory: Annotated[
        str | None, Meta(description="Where the result is; null if nothing was written.")
    ]
    undo: Annotated[str | None, Meta(description="The command that restores the files.")]
    pull_request: Annotated[str | None, Meta(description="URL of the one that was opened.")]
    files: list[FileObject]
    tensors: Annotated[dict[str, str], Meta(description="Old name -> new name.")]
    patch: Annotated[
        str | None, Meta(description="What git apply takes; null if no metadata file changes.")
    ]
    refusals: list[RefusalObject]
    harmed: Annotated[
        list[str], Meta(description="Releases that load less after it; it is refused for them.")
    ]
    unmatched: Annotated[
        list[str], Meta(description="Rules of --map and --mapper that match no name.")
    ]
    findings_before: Annotated[
        dict[str, int],
        Meta(
            description="Code -> number, of findings in metadata and tensors; what a release makes "
            "of them, CKF701 to CKF703, is in `runtimes`."
        ),
    ]
    findings_after: Annotated[dict[str, int], Meta(description="The same afterwards.")]
    runtimes: list[ReleaseObject]
    serve: Annotated[list[ServedObject], Meta(description="With --overrides; else empty.")]


class RewriteObject(_Object, frozen=True):
    """The report of one call."""

    schema: Literal[1]
    ckptfix: Annotated[str, Meta(description="Version of ckptfix.")]
    exit_code: Annotated[int, Meta(description="The worst of all checkpoints.")]
    checkpoints: list[RewrittenObject]


def rewrite_json(done: Iterable[Rewritten]) -> Iterator[Line]:
    """Everything."""
    every = tuple(done)
    worst = max(one.exit_code for one in every)
    made = RewriteObject(SCHEMA, __version__, worst, [_rewritten(one) for one in every])
    yield line(indented(made))


def rewrite_schema() -> str:
    """The JSON Schema of the report."""
    return json_schema(RewriteObject)


def _rewritten(done: Rewritten) -> RewrittenObject:
    planned = done.planned
    before, after = answers_of_plan(planned) if planned else ((), ())
    return RewrittenObject(
        checkpoint=done.name,
        outcome=done.outcome.value,
        error=done.error or None,
        directory=done.directory or None,
        undo=done.undo or None,
        pull_request=done.pull_request or None,
        files=[_file(change) for change in planned.plan.files] if planned else [],
        tensors={old: new for s in done.written.changes.shards for old, new in s.renames.items()},
        patch=(planned.diff() or None) if planned else None,
        refusals=[_refusal(refusal) for refusal in planned.plan.refusals] if planned else [],
        harmed=[str(verdict.target) for verdict in planned.harmed] if planned else [],
        unmatched=list(done.unmatched),
        findings_before=_codes(planned.plan.findings_before) if planned else {},
        findings_after=_codes(planned.plan.findings_after) if planned else {},
        runtimes=[
            ReleaseObject(new.runtime, new.version, _answer(old), _answer(new))
            for old, new in zip(before, after, strict=True)
        ],
        serve=[_served(done, way) for way in done.ways],
    )


def _served(done: Rewritten, way: Served) -> ServedObject:
    return ServedObject(
        way.target.runtime,
        way.target.version,
        way.loads,
        served_command(done.name, done.kind, way) or None,
        way.override or None,
        way.problem or None,
    )


def _file(change: FileChange) -> FileObject:
    return FileObject(
        change.file,
        change.renamed,
        change.removed,
        change.added,
        change.copied,
        change.copied_from or None,
        change.rebuilt,
    )


def _refusal(refusal: Refusal) -> RefusalObject:
    return RefusalObject(refusal.name, refusal.reason, refusal.place.file, refusal.place.pointer)


def _answer(answer: ReleaseAnswer) -> AnswerObject:
    effect = answer.effect
    return AnswerObject(answer.loads.value, effect.value if effect else None, list(answer.reasons))


def _codes(findings: Iterable[Finding]) -> dict[str, int]:
    return {rule.code: number for rule, number in numbers_by_rule(findings).items()}
