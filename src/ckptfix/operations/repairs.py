"""What a rewrite would repair: it is planned before a finding promises it.

A rule names the command that repairs most of its findings. Whether it repairs a particular one is
only known once that rewrite has been planned: it may be refused, change nothing, or leave the
finding.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from msgspec import Struct, field

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.operations.checked import Advised
from ckptfix.operations.limits import limited
from ckptfix.operations.plan import plan_folded
from ckptfix.rewriting.proof import identity
from ckptfix.rewriting.proved import Planner, ProvedPlan, RewriteRequest
from ckptfix.rules.finding import BY_HAND, Finding, Repair, to_rewrite
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.releases import specs_of
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
}
_NOTHING: Final = "no rewrite of the metadata repairs it"


class OwnMap(Struct, frozen=True):
    """The user's name map."""

    name_map: NameMap | None = None
    arguments: tuple[str, ...] = ()
    """The arguments of a call that gave it."""


def map_arguments(maps: Iterable[str], mapper: str | None) -> tuple[str, ...]:
    """The arguments of a call that give the user's name map."""
    named = () if mapper is None else (f"mapper={mapper!r}",)
    rules = list(maps)
    return (*named, f"maps={rules!r}") if rules else named


class Repairs(Struct, frozen=True):
    """Rewrites of one checkpoint, each planned once, on demand."""

    checkpoint: Checkpoint
    own_map: OwnMap
    targets: tuple[Target, ...]
    """The requested releases."""
    _planned: dict[tuple[object, ...], ProvedPlan | None] = field(default_factory=dict)
    _after: dict[int, "_Remaining"] = field(default_factory=dict)
    """Id of a plan in `_planned` -> what remains after it."""

    def of(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings, each with the command that repairs it, and advice that fits."""
        left: dict[Repair, list[Finding]] = {}
        repaired: dict[int, Repair] = {}
        for finding in findings:
            for command in _ways(finding)[:1]:
                left.setdefault(command, []).append(finding)
        while left:
            command, waiting = left.popitem()
            gone = self._repaired_by(command, waiting)
            repaired |= {id(finding): command for finding in gone}
            for finding in waiting:
                ways = _ways(finding)
                following = ways[ways.index(command) + 1 :]
                if id(finding) not in repaired and following:
                    left.setdefault(following[0], []).append(finding)
        renames = Repair.TENSORS in repaired.values()
        return tuple(
            self._advised_for_releases(finding, renames=renames)
            if finding.rule.needs == "release"
            else self._advised(finding, repaired.get(id(finding)))
            for finding in findings
        )

    def _repaired_by(self, command: Repair, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that are gone after the rewrite."""
        planned = self._plan(*_also(command))
        if planned is None:
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

    def _advised(self, finding: Finding, repair: Repair | None) -> Finding:
        if repair is None:
            by_hand = finding.advice if finding.effect is None else BY_HAND
            return replace(finding, fixed_by=None, advice=by_hand)
        # What the rule advises is another way to repair it, which might contradict the rewrite.
        effect = finding.effect if repair == finding.fixed_by else ""
        effect = "repairs it" if effect is None else effect
        advice = to_rewrite(f"rewrite({self._arguments(_also(repair))})", effect)
        return replace(finding, fixed_by=repair, advice=advice)

    def _advised_for_releases(self, finding: Finding, *, renames: bool) -> Finding:
        """With the rewrite after which none of its releases has the finding.

        Args:
            finding: of a rule that judges releases.
            renames: another finding is repaired by renamed tensors, which may repair this too.
        """
        ways = [(repair, self.targets) for repair in _ON_RELEASES]
        if renames:
            ways.append((Repair.TENSORS, ()))  # the names of tensors are wrong for every release
        for repair, targets in ways:
            planned = self._plan(*_also(repair), targets=targets)
            if planned is not None and self._remaining(planned).lacks(finding):
                call = f"rewrite({self._arguments(_also(repair), targets)})"
                return replace(finding, advice=to_rewrite(call, "repairs it"), fixed_by=repair)
        return finding if finding.effect is None else replace(finding, advice=_NOTHING)

    def _remaining(self, planned: ProvedPlan) -> "_Remaining":
        if id(planned) not in self._after:
            self._after[id(planned)] = _Remaining.of(planned)
        return self._after[id(planned)]

    def _arguments(self, kinds: Sequence[Repair], targets: Sequence[Target] = ()) -> str:
        words = [kind.arguments for kind in kinds]
        if targets:
            words.append(f"runtimes={list(specs_of(targets))!r}")
        return ", ".join((*words, *self.own_map.arguments))

    def advised(
        self, findings: Iterable[Finding], *, cures: Callable[[ProvedPlan], bool]
    ) -> Advised | None:
        """The rewrite to suggest; None if none improves anything.

        Args:
            findings: with the rewrites that repair them.
            cures: whether some release, requested or known, loads the checkpoint after a rewrite
                that does not load it now.
        """
        # For requested releases, what repairs their findings takes them as an argument: below.
        files = (f for f in findings if not (self.targets and f.rule.needs == "release"))
        repairs = {finding.fixed_by for finding in files} - {None}
        repairing = [kind for kind in (Repair.TENSORS, Repair.CONTENT) if kind in repairs]
        for kinds in (tuple(repairing), *((kind,) for kind in repairing)):
            planned = self._plan(*kinds) if repairs else None
            if planned is not None:
                request = self._request(kinds)
                return Advised(self._arguments(kinds), _EFFECTS[kinds], planned, request)
        for repair in _ON_RELEASES:
            planned = self._plan(*_also(repair), targets=self.targets)
            if planned is not None and planned.helps and cures(planned):
                arguments = self._arguments(_also(repair), self.targets)
                request = self._request(_also(repair), self.targets)
                return Advised(arguments, _FOR_RELEASES[repair], planned, request, True)
        return None

    def _plan(self, *kinds: Repair, targets: tuple[Target, ...] = ()) -> ProvedPlan | None:
        """The plan, None where it is refused, changes nothing or cannot be made."""
        key = kinds, targets
        if key not in self._planned:
            self._planned[key] = self._made(self._request(kinds, targets))
        return self._planned[key]

    def _request(self, kinds: Sequence[Repair], targets: tuple[Target, ...] = ()) -> RewriteRequest:
        return RewriteRequest(
            self.own_map.name_map,
            targets,
            from_tensors=Repair.CONTENT in kinds,
            tensors=Repair.TENSORS in kinds,
        )

    def _made(self, request: RewriteRequest) -> ProvedPlan | None:
        if request.tensors and request.own_map is not None:
            return None  # the map would apply to tensor names
        try:
            with limited():
                planned = plan_folded(
                    self.checkpoint,
                    self.checkpoint.whole or self.checkpoint,
                    lambda small: Planner(small, request).make(),
                    to_write=False,
                )
        except CkptfixError:
            return None
        return planned if planned.changes_something and not planned.refused else None


def _ways(finding: Finding) -> tuple[Repair, ...]:
    return _WAYS[finding.fixed_by] if finding.fixed_by else ()


def _also(repair: Repair) -> tuple[Repair, ...]:
    """What a rewrite does besides renaming modules."""
    return () if repair is Repair.NAMES else (repair,)


class _Remaining(Struct, frozen=True):
    """What remains wrong for the releases after a rewrite."""

    releases: frozenset[str]
    """The releases that it was proved for."""
    failing: frozenset[str]
    """Those that do not load the checkpoint then."""
    refusing: frozenset[str]
    """Those of them that stop at the metadata."""
    wrong: frozenset[tuple[str, tuple[str, ...] | str]]
    """(release, modules built in a different format, or the tensor of a fault, or empty)."""
    new_name: Callable[[str], str]
    """Name of a module or tensor before the rewrite -> its name afterwards."""

    @classmethod
    def of(cls, planned: ProvedPlan) -> "_Remaining":
        """What remains wrong after a plan."""
        verdicts = planned.portable.after if planned.portable else ()
        wrong: set[tuple[str, tuple[str, ...] | str]] = set()
        for verdict in verdicts:
            release = str(verdict.target)
            wrong |= {(release, module.members) for module in verdict.wrong}
            wrong |= {(release, fault.tensor) for fault in verdict.faults}
        return cls(
            frozenset(str(v.target) for v in verdicts),
            frozenset(str(v.target) for v in verdicts if v.loads.answer is not Answer.YES),
            frozenset(str(v.target) for v in verdicts if v.refused),
            frozenset(wrong),
            planned.tensors.new_subject if planned.tensors else str,
        )

    def lacks(self, finding: Finding) -> bool:
        """True when none of its releases has the finding any more."""
        releases = set(finding.releases)
        if not releases <= self.releases:
            return False
        if finding.rule.rejects_all:
            return not releases & self.failing
        in_config = finding.subject == finding.place.file
        subject: tuple[str, ...] | str = tuple(map(self.new_name, finding.modules))
        subject = subject or ("" if in_config else self.new_name(finding.subject))
        return not releases & self.refusing and not any(
            (release, subject) in self.wrong for release in releases
        )
