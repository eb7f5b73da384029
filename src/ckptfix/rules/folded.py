"""Whether findings in a folded checkpoint hold for the whole one."""

import re
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.rules.finding import Finding
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.target_verdict import TargetVerdict

_EXPERT: Final = re.compile(rf"{re.escape(EXPERTS)}\d")


def holds_for_all(
    folded: Checkpoint, findings: Iterable[Finding], verdicts: Iterable[TargetVerdict]
) -> bool:
    """True when expert 0 of each folded bank represents all experts in every finding.

    A finding about expert 0 is then one about each expert, and a fault of the first tensor of many
    is one of expert 0, if that comes first. A text that mentions experts in another way, for
    example the first few of a list, depends on their number.
    """
    fold = folded.fold
    if fold is None:
        return True
    findings, verdicts = tuple(findings), tuple(verdicts)
    of_experts = [r for v in verdicts for r in v.faults if _tells_of_an_expert(r)]
    if (of_experts or any(map(tells_of_banks, findings))) and not fold.keeps_order:
        return False
    return (
        all(_stands_for_all(f) for f in findings)
        and all(_bank_holds(folded, module) for verdict in verdicts for module in verdict.modules)
        and all(reason.of_first for reason in of_experts)
    )


def tells_of_banks(finding: Finding) -> bool:
    """True for a finding about more experts than it names."""
    banks = finding.banks
    return banks is not None and any(map(banks.has, (finding.subject, *finding.modules)))


def _stands_for_all(finding: Finding) -> bool:
    """True if names or places depend on experts, or the finding declares that its text does."""
    banks = finding.banks
    if banks is None or finding.depends_on_experts:
        return banks is None
    places = (finding.place, *(related.place for related in finding.related))
    tensors = any(place.tensor and banks.has(place.tensor) for place in places)
    if finding.experts == 1:
        return not tensors
    # The tensors of its experts may be in several files.
    return not tensors and not finding.related and all(map(banks.has, finding.modules))


def _bank_holds(folded: Checkpoint, module: ModuleVerdict) -> bool:
    """True unless a runtime builds each expert of a bank as its own module."""
    banks = folded.banks
    return banks is None or module.kind == "experts" or not any(map(banks.has, module.members))


def with_all_experts(checkpoint: Checkpoint, verdict: TargetVerdict) -> TargetVerdict:
    """The verdict of a folded checkpoint, with every expert among the members of its bank."""
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


def _tells_of_an_expert(reason: Reason) -> bool:
    return bool(_EXPERT.search(f"{reason.tensor} {reason.text}"))
