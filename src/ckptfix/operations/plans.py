"""Rewrites of one checkpoint, each planned once, on demand, and what comes of them."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.operations.checked import ReleaseAnswer, answers_after, cured, lost
from ckptfix.operations.limits import limited
from ckptfix.operations.plan_folded import plan_folded
from ckptfix.operations.remaining import Remaining
from ckptfix.rewriting.proved import Planner, ProvedPlan, RewriteRequest
from ckptfix.rules.finding import Repair
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.releases import specs_of
from ckptfix.runtimes.targets import Target


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


class Way(Struct, frozen=True):
    """A rewrite."""

    repair: Repair
    targets: tuple[Target, ...] = ()
    """The releases that it names; empty for every known one."""

    @property
    def kinds(self) -> tuple[Repair, ...]:
        """What it does besides renaming modules."""
        return () if self.repair is Repair.NAMES else (self.repair,)


class Plans(Struct, frozen=True):
    """Rewrites of one checkpoint."""

    checkpoint: Checkpoint
    own_map: OwnMap
    now: tuple[ReleaseAnswer, ...]
    """Whether each release loads it as it is."""
    _planned: dict[tuple[tuple[Repair, ...], tuple[Target, ...]], ProvedPlan | None] = field(
        default_factory=dict
    )
    _after: dict[int, Remaining] = field(default_factory=dict)
    """Id of a plan in `_planned` -> what remains after it."""
    _answers: dict[int, tuple[ReleaseAnswer, ...]] = field(default_factory=dict)
    """Id of a plan in `_planned` -> the answers after it."""

    def plan(
        self, kinds: tuple[Repair, ...], targets: tuple[Target, ...] = ()
    ) -> ProvedPlan | None:
        """The plan, None where it is refused, changes nothing or cannot be made."""
        planned = self._made(kinds, targets)
        usable = planned is not None and planned.changes_something and not planned.refused
        return planned if usable else None

    def is_refused_for_all(self, way: Way) -> bool:
        """Whether the same rewrite for every known release would break something."""
        planned = self._made(way.kinds, ())
        return planned is not None and planned.refused

    def request(self, kinds: Sequence[Repair], targets: tuple[Target, ...] = ()) -> RewriteRequest:
        """The request of a plan."""
        return RewriteRequest(
            self.own_map.name_map,
            targets,
            from_tensors=Repair.CONTENT in kinds,
            tensors=Repair.TENSORS in kinds,
        )

    def _made(self, kinds: tuple[Repair, ...], targets: tuple[Target, ...]) -> ProvedPlan | None:
        """The plan, whatever it does; None where it cannot be made."""
        key = kinds, targets
        if key not in self._planned:
            request = self.request(kinds, targets)
            # A user's map would apply to tensor names.
            possible = not (request.tensors and request.own_map is not None)
            self._planned[key] = self._plan_for(request) if possible else None
        return self._planned[key]

    def _plan_for(self, request: RewriteRequest) -> ProvedPlan | None:
        try:
            with limited():
                return plan_folded(
                    self.checkpoint,
                    self.checkpoint.whole or self.checkpoint,
                    lambda small: Planner(small, request).make(),
                    to_write=False,
                )
        except CkptfixError:
            return None

    def remaining(self, planned: ProvedPlan) -> Remaining:
        """What remains wrong after a plan."""
        if id(planned) not in self._after:
            self._after[id(planned)] = Remaining.of(planned)
        return self._after[id(planned)]

    def then(self, planned: ProvedPlan) -> tuple[ReleaseAnswer, ...]:
        """The answer of each release after a plan, in the order of those now."""
        if id(planned) not in self._answers:
            self._answers[id(planned)] = answers_after(planned, self.now)
        return self._answers[id(planned)]

    def cures(self, planned: ProvedPlan | None) -> bool:
        """Whether a release that counts loads it after the rewrite and not now."""
        if planned is None or not planned.helps:
            return False
        return any(answer.counts for answer in cured(self.now, self.then(planned)))

    def loses(self, planned: ProvedPlan) -> bool:
        """Whether a release that counts loads it now and not after the rewrite."""
        return any(answer.counts for answer in lost(self.now, self.then(planned)))

    def arguments(self, kinds: Sequence[Repair], targets: Sequence[Target] = ()) -> str:
        """The arguments of the call that carries a plan out, without the name."""
        words = [kind.arguments for kind in kinds]
        if targets:
            words.append(f"runtimes={list(specs_of(targets))!r}")
        return ", ".join((*words, *self.own_map.arguments))
