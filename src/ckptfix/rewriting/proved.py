"""From a rewrite request to a plan, proved by its result. Pure."""

import dataclasses
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Speller
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import pointer
from ckptfix.place import Place
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.rewriting.plan import FileChange, Plan, plan_rewrite, rewritten
from ckptfix.rewriting.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewriting.rebuild.plan import changed_file, join_plans, plan_rebuild
from ckptfix.rewriting.spelled import SpelledPlanner
from ckptfix.rewriting.tensors.plan import TensorPlan, harmed_by, plan_names_of_tensors
from ckptfix.rules.finding import number_of
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map, damage_map
from ckptfix.runtimes.releases import judge_all, known_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target


class RewriteRequest(Struct, frozen=True):
    """What to rewrite."""

    own_map: NameMap | None = None
    """Replaces the built-in name map; the map over tensor names where `tensors` is set."""
    targets: tuple[Target, ...] = ()
    """Target releases; if empty, every known one, unless `own_map` decides alone."""
    strategy: Strategy = "auto"
    from_tensors: bool = False
    """First make the metadata declare what is stored."""
    tensors: bool = False
    """First rename tensors."""


@dataclass(frozen=True)
class ProvedPlan:
    """A rewrite of one checkpoint and its verified result."""

    checkpoint: Checkpoint
    """The checkpoint before the rewrite."""
    plan: Plan
    portable: PortablePlan | None
    """Verdicts before and after on each release; None if no known release applies."""
    harmed: tuple[TargetVerdict, ...]
    """Releases that the plan would break."""
    tensors: TensorPlan | None
    """None where no tensor is to be renamed."""
    tensors_say_more: bool = False
    """Something is still wrong afterwards that `from_tensors` would repair."""

    @property
    def changes_something(self) -> bool:
        """True when a file would be written."""
        return bool(self.plan.files) or bool(self.tensors and self.tensors.renames.new_names)

    @property
    def refused(self) -> bool:
        """True for a plan that must not be carried out."""
        return bool(self.plan.refusals or self.harmed)

    @property
    def helps(self) -> bool:
        """True if something is written and less is wrong afterwards."""
        if self.refused or not self.changes_something:
            return False
        portable = self.portable
        rights = portable is not None and (
            portable.failing_after < portable.failing_before or bool(portable.cured)
        )
        return rights or number_of(self.plan.findings_after) < number_of(self.plan.findings_before)

    @property
    def leaves_faults(self) -> bool:
        """True when something is still wrong after it."""
        after = self.portable.after if self.portable else ()
        fails = any(verdict.fails or verdict.loads.answer is Answer.NO for verdict in after)
        return fails or bool(self.plan.findings_after)


class Planner(Struct, frozen=True):
    """Makes the plan for a checkpoint as given; the caller decides whether it may be folded."""

    checkpoint: Checkpoint
    request: RewriteRequest
    listener: Listener = SILENT

    def make(self) -> ProvedPlan:
        """The plan.

        Raises:
            CkptfixError: no release registers the architecture, the rules contradict each other, or
                the names in this metadata cannot be renamed.
        """
        self._require_plain_names()
        request = self.request
        tensors = None
        own = request.own_map
        if request.tensors:
            tensors, own = plan_names_of_tensors(self.checkpoint, own), None
        named = tensors.checkpoint if tensors else self.checkpoint
        name_map = own or builtin_name_map(named)
        targets = request.targets
        judge_all(named, targets, self.listener)  # raises for an unknown architecture
        if targets:
            name_map = name_map.without_releases()
        elif own is None:
            targets = known_targets(named)
        plan, portable = self._planned(named, name_map, targets)
        harmed = portable.harmed if portable else ()
        if tensors and tensors.changes_something:
            plan = tensors.joined_with(plan)
            harmed = (*harmed_by(tensors, targets), *harmed)
            if portable:
                before = judge_all(self.checkpoint, targets, self.listener)
                portable = replace(portable, plan=plan, before=before)
        return ProvedPlan(self.checkpoint, plan, portable, harmed, tensors)

    def _require_plain_names(self) -> None:
        dialect, request = self.checkpoint.dialect, self.request
        if dialect.reading is None or request.own_map is None or request.tensors:
            return
        name, quantizer = self.checkpoint.name, dialect.quantizer
        if dialect.speller is None:
            raise CkptfixError(
                f"{name}: no runtime reads a name in metadata of {quantizer}",
                advice="leave the name map out",
            )
        raise CkptfixError(
            f"{name}: names in metadata of {quantizer} are not plain names, so a name map cannot "
            "rename them",
            advice="name the releases instead; their names are added",
        )

    def make_with_advice(self) -> ProvedPlan:
        """The plan, and whether rebuilding from the tensors would fix what remains."""
        planned = self.make()
        dialect = self.checkpoint.dialect
        can_write = dialect.writer is not None or dialect.speller is not None
        if self.request.from_tensors or not planned.leaves_faults or not can_write:
            return planned
        named = planned.tensors.checkpoint if planned.tensors else self.checkpoint
        then = RewriteRequest(targets=self.request.targets, from_tensors=True)
        after = rewritten(named, planned.plan.files)
        more = replace(self, checkpoint=after, request=then).make()
        return dataclasses.replace(planned, tensors_say_more=more.helps)

    def _planned(
        self, named: Checkpoint, name_map: NameMap, targets: tuple[Target, ...]
    ) -> tuple[Plan, PortablePlan | None]:
        """The plan for names, after content has been rebuilt from the tensors if requested."""
        dialect = named.dialect
        if dialect.reading is not None and dialect.speller is not None:
            from_tensors = self.request.from_tensors
            self.listener.step(Step("proving the plan", named.name))
            first = _moved(named, dialect.speller)
            plan, portable = SpelledPlanner(
                rewritten(named, first),
                dialect.reading,
                dialect.speller,
                name_map,
                targets,
                from_tensors,
            ).plan()
            return self._after(first, named, name_map, targets, plan, portable)
        rebuilt = plan_rebuild(named, name_map) if self.request.from_tensors else ()
        start = rewritten(named, rebuilt)
        portable = None
        if targets:
            self.listener.step(Step("proving the plan", named.name))
            portable = plan_for_targets(start, name_map, targets, self.request.strategy)
            plan = portable.plan
        else:
            # A map that no known release needs renames nothing unless the user asks for it.
            renames = self.request.own_map is not None or name_map.required
            plan = plan_rewrite(start, name_map if renames else damage_map(), spelling=name_map)
        return self._after(rebuilt, named, name_map, targets, plan, portable)

    def _after(
        self,
        first: tuple[FileChange, ...],
        named: Checkpoint,
        name_map: NameMap,
        targets: tuple[Target, ...],
        plan: Plan,
        portable: PortablePlan | None,
    ) -> tuple[Plan, PortablePlan | None]:
        """A plan that was made for the checkpoint after the first changes, with those."""
        if first:
            plan = join_plans(named, name_map, first, plan)
        if portable:
            before = judge_all(named, targets, self.listener) if first else portable.before
            portable = replace(portable, plan=plan, before=before)
        return plan, portable


def _moved(checkpoint: Checkpoint, speller: Speller) -> tuple[FileChange, ...]:
    """config.json with the quantization object where releases look for it, if it is not there."""
    moves = speller.moves(checkpoint.documents)
    if moves is None:
        return ()
    made = changed_file(checkpoint.documents[CONFIG_FILE], moves)
    (root,) = moves.removals
    place = str(Place(CONFIG_FILE, pointer(root)))
    return (replace(made, removed=0, rebuilt=0, copied=made.rebuilt, copied_from=place),)
