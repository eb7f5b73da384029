"""Whether what was found in a folded checkpoint holds for the whole of it."""

from collections.abc import Iterable
from dataclasses import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.rules.finding import Finding
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.verdict import TargetVerdict


def holds_for_all(findings: Iterable[Finding], verdicts: Iterable[TargetVerdict]) -> bool:
    """True when nothing found depends on how many experts there are.

    No finding is then about an expert, and every runtime module that experts end in is a bank that
    is built as it is stored.
    """
    return not any(map(_is_about_experts, findings)) and all(
        module.agrees and module.kind == "experts"
        for verdict in verdicts
        for module in verdict.modules
        if any(EXPERTS in member for member in module.members)
    )


def _is_about_experts(finding: Finding) -> bool:
    """By its names and places; what its text depends on besides, the rule declares."""
    places = (finding.place, *(related.place for related in finding.related))
    names = (
        finding.subject,
        finding.expected,
        *finding.modules,
        *(name for place in places for name in (place.pointer or "", place.tensor or "")),
    )
    return finding.depends_on_experts or any(EXPERTS in name for name in names)


def with_all_experts(checkpoint: Checkpoint, verdict: TargetVerdict) -> TargetVerdict:
    """The verdict of a folded checkpoint, with every expert among the members of its bank."""
    if checkpoint.folded is checkpoint:
        return verdict
    experts: dict[str, list[str]] = {}
    for name in checkpoint.modules:
        head, dot, _ = name.partition(EXPERTS)
        if dot:
            experts.setdefault(head, []).append(name)

    def whole(module: ModuleVerdict) -> ModuleVerdict:
        heads = {member.partition(EXPERTS)[0] for member in module.members}
        found = [name for head in heads for name in experts.get(head, ())]
        return replace(module, members=tuple(found)) if found else module

    return replace(verdict, modules=tuple(map(whole, verdict.modules)))
