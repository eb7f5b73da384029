"""What `check` found in one checkpoint."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ckptfix.checkpoint.expert_banks import Banks
from ckptfix.operations.layer_map import LayerMap
from ckptfix.rewriting.plan import rewritten
from ckptfix.rewriting.proved import ProvedPlan, RewriteRequest
from ckptfix.rules.finding import Finding, Repair, Rule, Severity, number_of
from ckptfix.runtimes.drafts import DraftAnswer
from ckptfix.runtimes.loads import Answer, Effect, Loads, of_all
from ckptfix.runtimes.releases import is_known
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge


@dataclass(frozen=True)
class ReleaseAnswer:
    """Whether one release loads the checkpoint as it is; every output shows this answer."""

    verdict: TargetVerdict
    """Module by module."""
    answer: Loads
    counts: bool
    """The exit code depends on it: it was requested, or none was and it is the newest of its
    runtime that registers the architecture."""

    @property
    def target(self) -> Target:
        """The release."""
        return self.verdict.target

    @property
    def runtime(self) -> str:
        """Name of the runtime: `vllm`."""
        return self.target.runtime

    @property
    def version(self) -> str:
        """Version of the release."""
        return self.target.version

    @property
    def loads(self) -> Answer:
        """`yes`, `no` or `unknown`."""
        return self.answer.answer

    @property
    def effect(self) -> Effect | None:
        """What a user would see; None unless the answer is no."""
        return self.answer.effect

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not, or why it is unknown; empty where it loads."""
        if self.answer.unknown_because:
            return (self.answer.unknown_because,)
        return tuple(map(str, self.answer.reasons))


def answers_of(
    verdicts: Iterable[TargetVerdict], counted: Iterable[Target], findings: Iterable[Finding]
) -> tuple[ReleaseAnswer, ...]:
    """The answer of every release.

    Args:
        verdicts: one for each release.
        counted: the releases that the exit code depends on.
        findings: everything that was found, ignored or not.
    """
    bad = sorted({finding.code for finding in findings if finding.rule.blocks_loading})
    those = set(counted)
    return tuple(
        ReleaseAnswer(
            verdict,
            # A release that stops at the metadata never reaches the tensors, and what is wrong for
            # the known releases may be correct for an unknown one.
            verdict.loads
            if verdict.problem or verdict.is_of_other_format
            else verdict.loads.with_bad_tensors(bad),
            verdict.target in those,
        )
        for verdict in verdicts
    )


def answers_after(
    planned: ProvedPlan, before: Sequence[ReleaseAnswer]
) -> tuple[ReleaseAnswer, ...]:
    """The answers of the same releases after a rewrite."""
    known = {v.target: v for v in planned.portable.after} if planned.portable else {}
    for answer in before:
        if not is_known(planned.checkpoint, answer.target):
            known[answer.target] = answer.verdict  # whatever the metadata declares
    left = [answer.target for answer in before if answer.target not in known]
    if left:
        named = planned.tensors.checkpoint if planned.tensors else planned.checkpoint
        result = rewritten(named, planned.plan.files)
        known |= {target: judge(result, target) for target in left}
    verdicts = [known[answer.target] for answer in before]
    counted = [answer.target for answer in before if answer.counts]
    return answers_of(verdicts, counted, planned.plan.findings_after)


def answers_of_plan(
    planned: ProvedPlan,
) -> tuple[tuple[ReleaseAnswer, ...], tuple[ReleaseAnswer, ...]]:
    """The answers before and after a rewrite, for the releases it was proved for."""
    if planned.portable is None:
        return (), ()
    before, after = planned.portable.before, planned.portable.after
    targets = [verdict.target for verdict in before]
    return (
        answers_of(before, targets, planned.plan.findings_before),
        answers_of(after, targets, planned.plan.findings_after),
    )


def cured(
    before: Iterable[ReleaseAnswer], after: Iterable[ReleaseAnswer]
) -> tuple[ReleaseAnswer, ...]:
    """The answers of the releases that load it after a rewrite and not before."""
    return tuple(
        new
        for old, new in zip(before, after, strict=True)
        if new.loads is Answer.YES and old.loads is not Answer.YES
    )


def lost(
    before: Iterable[ReleaseAnswer], after: Iterable[ReleaseAnswer]
) -> tuple[ReleaseAnswer, ...]:
    """The answers of the releases that load it before a rewrite and not after."""
    return tuple(
        new
        for old, new in zip(before, after, strict=True)
        if old.loads is Answer.YES and new.loads is not Answer.YES
    )


@dataclass(frozen=True)
class Advised:
    """A planned rewrite that improves something."""

    arguments: str
    """Arguments of `rewrite` or `plan`, without the name of the checkpoint."""
    effect: str
    """What it does, as a phrase: `repairs the names`."""
    planned: ProvedPlan | None = field(repr=False)
    """The plan itself; None if it was made in another process."""
    request: RewriteRequest = field(repr=False)
    """The request that it was planned for."""
    for_releases: bool = False
    """It repairs no finding, but changes what some release builds."""
    diff: str = ""
    """The patch for the metadata files; empty if it was not requested."""
    without_writing: bool = False
    """A requested release that does not load the checkpoint would with the repaired metadata passed
    to the server; False if no release was requested."""
    then: tuple[ReleaseAnswer, ...] = ()
    """The answer of each release afterwards, in the order of those before."""


@dataclass(frozen=True)
class CheckedCheckpoint:
    """One checkpoint, or why it could not be checked."""

    name: str
    """As the user named it; a repository as org/name@revision."""
    kind: Literal["directory", "snapshot", "repository", "url"] = "directory"
    """Type of the name, which determines what can be done with the checkpoint. A snapshot is a
    directory of the Hub's cache, which is not rewritten in place."""
    error: str = ""
    """Why it could not be checked; empty when it was."""
    unsupported: bool = False
    """It could not be checked because it is not a quantized safetensors checkpoint."""
    name_map: str = ""
    """Where the name map comes from."""
    findings: tuple[Finding, ...] = ()
    """Findings that are not ignored."""
    rules: tuple[Rule, ...] = ()
    """Likewise."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Code -> number of ignored findings."""
    runtimes: tuple[ReleaseAnswer, ...] = ()
    """The answer of each requested release, in that order; by default of every known one, newest
    first, where none was."""
    drafts: tuple[DraftAnswer, ...] = ()
    """Whether the releases that count load the draft layers; empty where none are stored. The exit
    code does not depend on it."""
    requested: bool = False
    """True if releases were requested."""
    advised: Advised | None = None
    """The rewrite to suggest; None if none helps or it was not requested."""
    banks: Banks | None = None
    """Banks of experts whose expert 0 represents all of them wherever it is named here."""
    layers: LayerMap | None = None
    """The map of stored formats; None if it was not requested."""

    @property
    def counted(self) -> tuple[ReleaseAnswer, ...]:
        """The answers that the exit code depends on."""
        return tuple(answer for answer in self.runtimes if answer.counts)

    @property
    def verdicts(self) -> tuple[TargetVerdict, ...]:
        """The verdicts for the requested releases."""
        return tuple(answer.verdict for answer in self.runtimes) if self.requested else ()

    @property
    def loads(self) -> Answer:
        """One answer for all releases that count: yes if all are yes, no if one is no."""
        return of_all(answer.loads for answer in self.counted)

    @property
    def clean(self) -> bool:
        """True when it was checked, nothing was found, and every release that counts loads it."""
        return not self.error and not self.findings and self.loads is Answer.YES

    @property
    def counts(self) -> dict[Severity, int]:
        """Severity -> number of findings, including zeros."""
        by = {s: [f for f in self.findings if f.rule.severity is s] for s in Severity}
        return {severity: number_of(findings) for severity, findings in by.items()}

    @property
    def number(self) -> int:
        """Number of findings."""
        return number_of(self.findings)

    @property
    def repaired(self) -> dict[Repair, int]:
        """Rewrite -> number of findings that it repairs, without zeros."""
        by = {r: [f for f in self.findings if f.fixed_by is r] for r in Repair}
        return {repair: number_of(findings) for repair, findings in by.items() if findings}
