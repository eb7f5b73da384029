"""A rewrite that starts with renamed tensors: combined with the metadata rewrite and proved as one.

Pure.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.rewriting.plan import FileChange, Plan, rewritten
from ckptfix.rewriting.proof import Refusal, find_harm, harms
from ckptfix.rewriting.rebuild.plan import join_changes
from ckptfix.rewriting.tensors.headers import ShardChange
from ckptfix.rewriting.tensors.metadata import Followed, follow_tensors
from ckptfix.rewriting.tensors.renames import TensorRenames, rename_tensors
from ckptfix.rules.finding import Finding
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map
from ckptfix.runtimes.releases import judge_all
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.tensor_maps import choose_tensor_map


class TensorChanges(Struct, frozen=True):
    """Files written besides the metadata."""

    shards: tuple[ShardChange, ...] = ()
    index: FileChange | None = None

    @property
    def json_files(self) -> tuple[FileChange, ...]:
        """The index, if there is one."""
        return (self.index,) if self.index else ()


NO_CHANGES: Final = TensorChanges()


class TensorPlan(Struct, frozen=True, dict=True):
    """Renamed tensors, and the metadata that follows them."""

    renames: TensorRenames
    followed: Followed
    name_map: NameMap
    """How the runtime spells module names."""

    @property
    def changes_something(self) -> bool:
        """False if no tensor is renamed and none was refused."""
        return bool(self.renames.new_names or self.renames.refusals)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint after the rename, on which the rest of the rewrite is planned."""
        return rewritten(self.renames.after, self.followed.files)

    @cached_property
    def _findings_before(self) -> tuple[Finding, ...]:
        return find_all(self.renames.before, self.name_map)

    @cached_property
    def refusals(self) -> tuple[Refusal, ...]:
        """Why the tensors are not renamed."""
        refusals = (*self.renames.refusals, *self.followed.refusals)
        if refusals or not self.renames.new_names:
            return refusals
        spelled = tuple(
            dataclasses.replace(f, subject=self.new_subject(f.subject))
            for f in self._findings_before
        )
        after = find_all(self.checkpoint, self.name_map)
        return tuple(find_harm({}, self.name_map, spelled, after))

    def new_subject(self, subject: str) -> str:
        """The subject of a finding after the rename."""
        return self.followed.new_names.get(subject, self.renames.new_name(subject))

    def joined_with(self, plan: Plan) -> Plan:
        """This rename and the plan on its result, as one plan for the original checkpoint."""
        return replace(
            plan,
            files=join_changes(self.followed.files, plan.files),
            findings_before=self._findings_before,
            refusals=(*self.refusals, *plan.refusals),
        )


def plan_tensors(renames: TensorRenames, name_map: NameMap) -> TensorPlan:
    """Let the metadata follow.

    Args:
        renames: the tensors.
        name_map: how the runtime spells module names.
    """
    return TensorPlan(renames, follow_tensors(renames, name_map), name_map)


def plan_names_of_tensors(checkpoint: Checkpoint, own: NameMap | None) -> TensorPlan:
    """The user's map over tensor names, otherwise the built-in one of the architecture."""
    config = checkpoint.config
    name_map = own or choose_tensor_map(config.architectures, config.nested)
    return plan_tensors(rename_tensors(checkpoint, name_map), builtin_name_map(checkpoint))


def harmed_by(tensors: TensorPlan, targets: Sequence[Target]) -> tuple[TargetVerdict, ...]:
    """Releases that the new names of tensors alone would break."""
    if not tensors.renames.new_names:
        return ()
    before = judge_all(tensors.renames.before, targets)
    after = judge_all(tensors.checkpoint, targets)
    pairs = zip(before, after, strict=True)
    new_name = tensors.renames.new_name
    return tuple(new for old, new in pairs if harms(old, new, renamed=new_name))
