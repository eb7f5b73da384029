"""A plan made for the folded checkpoint, where that holds for every expert."""

from collections.abc import Callable
from dataclasses import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.rewriting.diff import unified_diff
from ckptfix.rewriting.proved import Planner, ProvedPlan, RewriteRequest
from ckptfix.rewriting.unfold import NotForAllError, unfolded_plan
from ckptfix.rules.folded import holds_for_all


def plan_folded(
    folded: Checkpoint,
    whole: Checkpoint,
    make: Callable[[Checkpoint], ProvedPlan],
    *,
    to_write: bool,
) -> ProvedPlan:
    """The plan for a folded checkpoint if it holds for every expert, otherwise for the whole.

    Args:
        folded: the one to try first; the whole one if it must not be folded.
        whole: the checkpoint that it was made from.
        make: makes the plan.
        to_write: its files and refusals are those of the whole checkpoint.
    """
    if folded is whole:
        return make(whole)
    planned = make(folded)
    plan, portable = planned.plan, planned.portable
    findings = (*plan.findings_before, *plan.findings_after)
    verdicts = (*portable.before, *portable.after) if portable else ()
    if not holds_for_all(folded, findings, verdicts) or (to_write and plan.refusals):
        return make(whole)
    if not to_write:
        return planned
    try:
        return replace(planned, plan=unfolded_plan(plan, folded, whole))
    except NotForAllError:
        return make(whole)


def diff_of_whole(planned: ProvedPlan, request: RewriteRequest) -> str:
    """What a plan does to the files as they are, as a patch.

    Args:
        planned: of the folded checkpoint or of the whole one.
        request: what it was made for.
    """
    whole, plan_ = planned.checkpoint.whole, planned.plan
    if whole is not None:
        try:
            plan_ = unfolded_plan(plan_, planned.checkpoint, whole)
        except NotForAllError:
            plan_ = Planner(whole, request).make().plan
    return "".join(map(unified_diff, plan_.files))
