"""What a rewrite would repair: it is planned before any finding promises it.

A rule names the command that repairs most of its findings. Whether it repairs this one is known
when that very rewrite was planned: it may be refused, change nothing, or leave the finding.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.operations.checked import Advised
from ckptfix.operations.limits import limited
from ckptfix.rewriting.proof import identity
from ckptfix.rewriting.proved import Planner, ProvedPlan, RewriteRequest
from ckptfix.rules.finding import Finding, Repair, RepairCommand
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.targets import Target

_WAYS: Final[dict[Repair, tuple[RepairCommand, ...]]] = {
    "": (),
    "rewrite": ("rewrite", "rewrite --from-tensors"),
    "rewrite --from-tensors": ("rewrite --from-tensors", "rewrite --tensors"),
    "rewrite --tensors": ("rewrite --tensors",),
}
"""What a rule says -> what is tried, in order."""
_BY_HAND: Final = "correct it by hand, no rewrite repairs it"
_NOTHING: Final = "no rewrite of the metadata repairs it"


@dataclass(frozen=True)
class Repairs:
    """Rewrites of one checkpoint, each planned once, when it is asked for."""

    checkpoint: Checkpoint
    own_map: NameMap | None
    targets: tuple[Target, ...]
    """The releases asked about."""
    _planned: dict[tuple[object, ...], ProvedPlan | None] = field(default_factory=dict)

    def of(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings, each with the command that repairs it, and advice that fits."""
        left: dict[RepairCommand, list[Finding]] = {}
        repaired: dict[int, RepairCommand] = {}
        for finding in findings:
            for command in _WAYS[finding.fixed_by][:1]:
                left.setdefault(command, []).append(finding)
        while left:
            command, waiting = left.popitem()
            gone = self._gone(command, waiting)
            repaired |= {id(finding): command for finding in gone}
            for finding in waiting:
                ways = _WAYS[finding.fixed_by]
                following = ways[ways.index(command) + 1 :]
                if id(finding) not in repaired and following:
                    left.setdefault(following[0], []).append(finding)
        return tuple(self._told(finding, repaired.get(id(finding), "")) for finding in findings)

    def _gone(self, command: RepairCommand, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Those that the rewrite leaves no finding for."""
        planned = self._plan(*command.split()[1:])
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

    def _told(self, finding: Finding, command: Repair) -> Finding:
        if finding.rule.needs == "release":
            return replace(finding, advice=self._advice_for_releases(finding))
        if command == finding.fixed_by:
            return finding
        if "ckptfix rewrite" not in finding.advice:
            return replace(finding, fixed_by=command)
        advice = f"run ckptfix {command}" if command else _BY_HAND
        return replace(finding, fixed_by=command, advice=advice)

    def _advice_for_releases(self, finding: Finding) -> str:
        """The rewrite after which all its releases build the module as it is stored."""
        if "ckptfix rewrite" not in finding.advice:
            return finding.advice
        for options in _ON_RELEASES:
            planned = self._plan(*options, targets=self.targets)
            if planned is not None and not _is_wrong(finding, planned):
                words = " ".join(("ckptfix rewrite", *options, *asked_options(self.targets)))
                return f"{words} repairs it"
        return _NOTHING

    def advised(self, findings: Iterable[Finding], *, fails: bool) -> Advised | None:
        """The rewrite to type next; None where none changes anything for the better.

        Args:
            findings: with the commands that repair them.
            fails: some release asked about, or known, fails, and not because of the tensors.
        """
        repairs = {finding.fixed_by for finding in findings}
        wanted = [o for o in ("--tensors", "--from-tensors") if f"rewrite {o}" in repairs]
        for options in (tuple(wanted), *((option,) for option in wanted)):
            if repairs - {""} and self._plan(*options) is not None:
                return Advised(options, _EFFECTS[options])
        for options in _ON_RELEASES if fails else ():
            planned = self._plan(*options, targets=self.targets)
            if planned is not None and planned.helps:
                asked = asked_options(self.targets)
                return Advised((*options, *asked), _FOR_RELEASES[options], for_releases=True)
        return None

    def _plan(self, *options: str, targets: tuple[Target, ...] = ()) -> ProvedPlan | None:
        """The plan, None where it is refused, changes nothing or cannot be made."""
        key = options, targets
        if key not in self._planned:
            from_tensors, tensors = "--from-tensors" in options, "--tensors" in options
            request = RewriteRequest(
                self.own_map, targets, from_tensors=from_tensors, tensors=tensors
            )
            self._planned[key] = self._made(request)
        return self._planned[key]

    def _made(self, request: RewriteRequest) -> ProvedPlan | None:
        if request.tensors and request.own_map is not None:
            return None  # the map would be one for the names of tensors
        try:
            with limited():
                planned = Planner(self.checkpoint, request).make()
        except CkptfixError:
            return None
        return planned if planned.changes_something and not planned.refused else None


_ON_RELEASES: Final[tuple[tuple[str, ...], ...]] = ((), ("--from-tensors",))
_EFFECTS: Final[dict[tuple[str, ...], str]] = {
    (): "repairs the names",
    ("--from-tensors",): "repairs names and content",
    ("--tensors",): "renames tensors, repairs the metadata",
    ("--tensors", "--from-tensors"): "renames tensors, repairs the metadata",
}
_FOR_RELEASES: Final[dict[tuple[str, ...], str]] = {
    (): "repairs what names can repair",
    ("--from-tensors",): "repairs what the metadata can repair",
}


def asked_options(targets: Iterable[Target]) -> tuple[str, ...]:
    """The options that name releases."""
    specs = (f"{target.runtime}=={target.version}" for target in targets)
    return tuple(word for spec in specs for word in ("--runtime", spec))


def _is_wrong(finding: Finding, planned: ProvedPlan) -> bool:
    """True where a release of the finding would still build its module wrongly, or nothing."""
    verdicts = planned.portable.after if planned.portable else ()
    return any(
        verdict.refused or any(module.members == finding.modules for module in verdict.wrong)
        for verdict in verdicts
        if str(verdict.target) in finding.releases
    )
