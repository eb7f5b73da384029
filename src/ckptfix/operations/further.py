"""What to run instead of a rewrite that is refused, or after one that does not suffice."""

from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.operations.checked import Advised, ReleaseAnswer, answers_of
from ckptfix.operations.examine import examine
from ckptfix.operations.plans import OwnMap, Plans
from ckptfix.operations.repairs import Repairs
from ckptfix.rewriting.plan import rewritten
from ckptfix.rewriting.proved import ProvedPlan, RewriteRequest
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.releases import counted_targets


@dataclass(frozen=True)
class Further:
    """A rewrite that makes a release load the checkpoint that counts."""

    advised: Advised
    now: tuple[ReleaseAnswer, ...]
    """The answers before it."""


def further(checkpoint: Checkpoint, planned: ProvedPlan, request: RewriteRequest) -> Further | None:
    """The rewrite for fewer releases that `check` advises for the same checkpoint.

    After one that was not refused, only for a checkpoint without experts that are alike.

    Args:
        checkpoint: before the rewrite.
        planned: the rewrite.
        request: what it was made for.
    """
    if request.own_map is not None or planned.portable is None or planned.tensors_say_more:
        return None
    counted = request.targets or counted_targets(checkpoint)
    after = planned.portable.before if planned.refused else planned.portable.after
    if all(v.loads.answer is Answer.YES for v in after if v.target in counted):
        return None
    if not planned.refused:
        if checkpoint.folded is not checkpoint:
            return None  # the result would have to be folded again, with work for each expert
        named = planned.tensors.checkpoint if planned.tensors else planned.checkpoint
        checkpoint = rewritten(named, planned.plan.files)
    examined = examine(checkpoint, None, request.targets, every=False)
    now = answers_of(examined.verdicts, examined.counted, examined.findings)
    repairs = Repairs(Plans(examined.checkpoint, OwnMap(), now), request.targets)
    advised = repairs.advice_of(repairs.curing) if repairs.curing else None
    return Further(advised, now) if advised else None
