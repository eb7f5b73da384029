"""The proof obligation of a rewrite: it must not break anything that works now."""

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct

from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.place import Place
from ckptfix.rules.finding import Finding, Rule, Severity
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.text import visible


class Refusal(Struct, frozen=True):
    """Why the rewrite would break something."""

    name: str
    reason: str
    place: Place


def find_harm(
    renamed: Mapping[Place, Statement],
    name_map: NameMap,
    before: tuple[Finding, ...],
    after: tuple[Finding, ...],
) -> list[Refusal]:
    """What the rewrite would break.

    `renamed`: place in the rewritten metadata -> the entry or target that was there before.
    """
    refusals = []
    known = Counter(identity(finding, name_map) for finding in before)
    for finding in after:
        same = identity(finding, name_map)
        statement = renamed.get(finding.place)
        if statement is not None and finding.rule.refuses_rename:
            new = name_map.mapper.map(statement.name) or ""
            of_module = "" if finding.subject == new else f"module {visible(finding.subject)} "
            refusals.append(
                Refusal(
                    statement.name,
                    f"would become {visible(new)}, whose {of_module}{finding.message}"
                    if of_module
                    else f"would become {visible(new)}, which {finding.message}",
                    statement.place,
                )
            )
        elif known[same] > 0:
            known[same] -= 1
        else:
            refusals.append(
                Refusal(
                    finding.subject,
                    f"{finding.message} ({finding.code}, introduced by the rewrite)",
                    finding.place,
                )
            )
    return refusals


def new_errors(
    name_map: NameMap, before: tuple[Finding, ...], after: tuple[Finding, ...]
) -> list[Refusal]:
    """Errors that the rewrite would introduce.

    Warnings are left out: lost metadata did not declare their subjects.
    """
    errors = tuple(f for f in after if f.rule.severity is Severity.ERROR)
    return find_harm({}, name_map, before, errors)


def identity(finding: Finding, name_map: NameMap) -> tuple[Rule, str, str]:
    """The key by which findings before and after the rewrite are matched."""
    return finding.rule, finding.place.file, name_map.mapper.map(finding.subject) or ""


def harms(
    before: TargetVerdict, after: TargetVerdict, *, renamed: Callable[[str], str] | None = None
) -> bool:
    """Whether a target loads the checkpoint, or builds a module correctly, before and not after.

    One that builds modules incorrectly loses nothing if it stops afterwards, and one that stops
    builds none. Whoever renames tensors decides which modules they are: only the formats count.

    Args:
        before: the verdict on the checkpoint as it is.
        after: the one on the rewritten checkpoint.
        renamed: checkpoint name of a module -> its name afterwards, if tensors are renamed.
    """
    if before.refused:
        return False
    if renamed is None and before.loads.answer is Answer.YES:
        return after.loads.answer is Answer.NO
    known = {(renamed or str)(name) for module in before.wrong for name in module.members}
    wrong = {name for module in after.wrong for name in module.members}
    return (after.refused and not before.fails) or not wrong <= known
