"""What a rewrite would repair: it is planned before a finding promises it.

A rule names the command that repairs most of its findings. Whether it repairs a particular one is
only known once that rewrite has been planned: it may be refused, change nothing, or leave the
finding. One that is refused for the sake of an old release is planned again for the releases that
count (`narrower.py`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from msgspec import Struct

from ckptfix.operations.checked import Advised, ReleaseAnswer, cured
from ckptfix.operations.narrower import narrower
from ckptfix.operations.plans import Plans, Way
from ckptfix.rewriting.proof import identity
from ckptfix.rewriting.proved import ProvedPlan
from ckptfix.rules.finding import BY_HAND, Finding, Repair, to_rewrite
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.targets import Target

_WAYS: Final[dict[Repair, tuple[Repair, ...]]] = {
    Repair.NAMES: (Repair.NAMES, Repair.CONTENT),
    Repair.CONTENT: (Repair.CONTENT, Repair.TENSORS),
    Repair.TENSORS: (Repair.TENSORS,),
}
"""Repair that a rule declares -> rewrites that are tried, in order."""
_ON_RELEASES: Final = (Repair.NAMES, Repair.CONTENT)
_EFFECTS: Final = {
    (): "repairs the names",
    (Repair.CONTENT,): "repairs names and content",
    (Repair.TENSORS,): "renames tensors and repairs the metadata",
    (Repair.TENSORS, Repair.CONTENT): "renames tensors and repairs the metadata",
}
_FOR_RELEASES: Final = {
    Repair.NAMES: "fixes what renaming can fix",
    Repair.CONTENT: "fixes what the metadata can fix",
    Repair.TENSORS: "renames tensors and repairs the metadata",
}
_NOTHING: Final = "no rewrite of the metadata repairs it"


class Fix(Struct, frozen=True):
    """A finding with advice that fits, and the rewrite that repairs it."""

    finding: Finding
    way: Way | None = None


class Repairs(Struct, frozen=True, dict=True):
    """Which rewrite repairs what in one checkpoint."""

    plans: Plans
    targets: tuple[Target, ...]
    """The requested releases."""

    @property
    def _now(self) -> tuple[ReleaseAnswer, ...]:
        return self.plans.now

    def of(self, findings: Sequence[Finding]) -> tuple[Fix, ...]:
        """The findings, each with the command that repairs it, and advice that fits."""
        left: dict[Way, list[Finding]] = {}
        repaired: dict[int, Way] = {}
        for finding in findings:
            for way in self._ways(finding)[:1]:
                left.setdefault(way, []).append(finding)
        while left:
            way, waiting = left.popitem()
            gone = self._repaired_by(way, waiting)
            repaired |= {id(finding): way for finding in gone}
            for finding in waiting:
                ways = self._ways(finding)
                following = ways[ways.index(way) + 1 :]
                if id(finding) not in repaired and following:
                    left.setdefault(following[0], []).append(finding)
        renames = any(way.repair is Repair.TENSORS for way in repaired.values())
        return tuple(
            self._advised_for_releases(finding, renames=renames)
            if finding.rule.needs == "release"
            else self._advised(finding, repaired.get(id(finding)))
            for finding in findings
        )

    def _ways(self, finding: Finding) -> list[Way]:
        """The rewrites that may repair it, in the order in which they are tried."""
        kinds = _WAYS[finding.fixed_by] if finding.fixed_by else ()
        scopes = dict.fromkeys(((), self.targets, *self._narrower))
        return [Way(kind, scope) for scope in scopes for kind in kinds]

    @cached_property
    def _narrower(self) -> tuple[tuple[Target, ...], ...]:
        """Releases to plan for where the plan for all of them does not do."""
        if self.plans.own_map.name_map is not None:
            return ()  # it decides
        return narrower(self.targets, [answer.target for answer in self._now if answer.counts])

    def _repaired_by(self, way: Way, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that are gone after the rewrite."""
        if way.targets and not self.plans.is_refused_for_all(way):
            return
        planned = self.plans.plan(way.kinds, way.targets)
        if planned is None or (way.targets and self.plans.loses(planned)):
            return
        name_map, tensors = planned.plan.name_map, planned.tensors
        after = Counter(identity(finding, name_map) for finding in planned.plan.findings_after)
        for finding in findings:
            subject = tensors.new_subject(finding.subject) if tensors else finding.subject
            same = finding if subject == finding.subject else replace(finding, subject=subject)
            key = identity(same, name_map)
            if after[key]:
                after[key] -= 1
            else:
                yield finding

    def _advised(self, finding: Finding, way: Way | None) -> Fix:
        if way is None:
            by_hand = finding.advice if finding.effect is None else BY_HAND
            return Fix(replace(finding, fixed_by=None, advice=by_hand))
        # What the rule advises is another way to repair it, which might contradict the rewrite.
        effect = finding.effect if way.repair == finding.fixed_by else ""
        return self._fix(finding, way, "repairs it" if effect is None else effect)

    def _fix(self, finding: Finding, way: Way, effect: str) -> Fix:
        advice = to_rewrite(f"rewrite({self.plans.arguments(way.kinds, way.targets)})", effect)
        # `fixed_by` promises a command for every known release, or for those requested.
        fixed_by = way.repair if way.targets in ((), self.targets) else None
        return Fix(replace(finding, advice=advice, fixed_by=fixed_by), way)

    def _advised_for_releases(self, finding: Finding, *, renames: bool) -> Fix:
        """With the rewrite after which none of its releases has the finding, or one has not.

        Args:
            finding: of a rule that judges releases.
            renames: another finding is repaired by renamed tensors, which may repair this too.
        """
        ways = [Way(repair, self.targets) for repair in _ON_RELEASES]
        if renames:
            ways.append(Way(Repair.TENSORS))  # the names of tensors are wrong for every release
        elif self.curing is not None:
            ways.insert(0, self.curing)
        for way in ways:
            if self._without(finding, way) == list(finding.releases):
                return self._fix(finding, way, "repairs it")
        some = self._without(finding, self.curing) if self.curing else ()
        if self.curing and some:
            return self._fix(finding, self.curing, f"repairs it for {' and '.join(some)}")
        return Fix(finding if finding.effect is None else replace(finding, advice=_NOTHING))

    def _without(self, finding: Finding, way: Way) -> list[str]:
        """The releases of a finding that do not have it after a rewrite."""
        planned = self.plans.plan(way.kinds, way.targets)
        if planned is None:
            return []
        remaining = self.plans.remaining(planned)
        return [release for release in finding.releases if remaining.lacks(finding, release)]

    @cached_property
    def curing(self) -> Way | None:
        """The rewrite for fewer releases after which one that counts loads it.

        None where all load it now, or where the rewrite for all makes one load it. One that takes
        it from another release that counts is the last choice.
        """
        if all(answer.loads is Answer.YES for answer in self._now if answer.counts):
            return None
        if any(self.plans.cures(self.plans.plan(Way(r).kinds, self.targets)) for r in _ON_RELEASES):
            return None
        ways = [Way(repair, scope) for scope in self._narrower for repair in _ON_RELEASES]
        losing = None
        for way in ways:
            planned = self.plans.plan(way.kinds, way.targets)
            if planned is not None and self.plans.cures(planned):
                if not self.plans.loses(planned):
                    return way
                losing = losing or way
        return losing

    def advised(self, fixes: Iterable[Fix]) -> Advised | None:
        """The rewrite to suggest; None if none improves anything.

        Args:
            fixes: the findings with the rewrites that repair them.
        """
        ways = [fix.way for fix in fixes if fix.way is not None]
        chosen = self._for_every(ways) or self._for_requested()
        if self.curing is not None and (chosen is None or not self.plans.cures(chosen.planned)):
            return self.advice_of(self.curing)
        fewer = [way for way in ways if way.targets and way.targets != self.targets]
        requested = [way for way in ways if way.targets]
        if chosen is None and (fewer or requested):
            return self.advice_of((fewer or requested)[0])
        return chosen

    def advice_of(self, way: Way) -> Advised | None:
        """A rewrite for named releases as a suggestion."""
        planned = self.plans.plan(way.kinds, way.targets)
        if planned is None:
            return None
        is_partial = not self.plans.cures(planned) or self.plans.loses(planned)
        effect = _FOR_RELEASES[way.repair]
        return self._advice(way.kinds, way.targets, planned, effect, for_releases=is_partial)

    def _advice(
        self,
        kinds: tuple[Repair, ...],
        targets: tuple[Target, ...],
        planned: ProvedPlan,
        effect: str,
        *,
        for_releases: bool,
    ) -> Advised:
        return Advised(
            self.plans.arguments(kinds, targets),
            effect,
            planned,
            self.plans.request(kinds, targets),
            for_releases=for_releases,
            then=self.plans.then(planned),
        )

    def _for_every(self, ways: Iterable[Way]) -> Advised | None:
        """The rewrite for every known release, if it repairs a finding."""
        repairs = {way.repair for way in ways if not way.targets}
        repairing = [kind for kind in (Repair.TENSORS, Repair.CONTENT) if kind in repairs]
        for kinds in (tuple(repairing), *((kind,) for kind in repairing)):
            planned = self.plans.plan(kinds) if repairs else None
            if planned is not None:
                return self._advice(kinds, (), planned, _EFFECTS[kinds], for_releases=False)
        return None

    def _for_requested(self) -> Advised | None:
        """The rewrite for the requested releases, by default for every known one, if it helps."""
        for way in (Way(repair, self.targets) for repair in _ON_RELEASES):
            planned = self.plans.plan(way.kinds, way.targets)
            if planned is not None and planned.helps and cured(self._now, self.plans.then(planned)):
                effect = _FOR_RELEASES[way.repair]
                return self._advice(way.kinds, way.targets, planned, effect, for_releases=True)
        return None
