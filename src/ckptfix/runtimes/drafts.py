"""Whether a release loads the draft layers (MTP, NextN) that are stored with a model.

It builds them as a model of their own, with another class, when the checkpoint is served with
speculative decoding; the metadata are those of the whole checkpoint.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.runtimes.draft_classes import draft_classes
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.loads import Loads
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge


class DraftAnswer(Struct, frozen=True):
    """Whether a release loads the draft layers as they are stored."""

    target: Target
    architecture: str
    """The class that it builds for them."""
    loads: Loads


def draft_answers(checkpoint: Checkpoint, targets: Iterable[Target]) -> tuple[DraftAnswer, ...]:
    """The answer of every release that builds the draft layers.

    None where config.json declares no draft layers or the checkpoint holds none.
    """
    declared = checkpoint.config.draft_layers
    if declared is None or declared.number < 1:
        return ()
    classes = {target: _class_of(checkpoint, target) for target in targets}
    if not any(classes.values()):
        return ()
    drafts = _draft_alone(checkpoint.whole or checkpoint)
    return tuple(_answers(drafts, classes)) if drafts is not None else ()


def never_looked_up(checkpoint: Checkpoint) -> Set[str]:
    """Modules of the draft layers that no class of the newest releases looks up.

    Routers and the projection of the embeddings are, in most classes.
    """
    key = "draft modules never looked up"
    if key not in checkpoint.derived:
        families = list(_newest_families(checkpoint))
        drafts = _draft_alone(checkpoint) if families else None
        modules = [m for family in families for m in placed(drafts or checkpoint, family)]
        every = {name for module in modules for name in module.members}
        looked_up = {name for m in modules if m.takes_quant_config for name in m.members}
        checkpoint.derived[key] = every - looked_up
    found: Set[str] = checkpoint.derived[key]
    return found


def _newest_families(checkpoint: Checkpoint) -> Iterator[Family]:
    """Of the classes that the newest release of each runtime builds for the draft layers."""
    for runtime in known_runtimes():
        newest = known_releases(runtime)[-1]
        named = _class_of(checkpoint, Target(runtime, newest, newest))
        family = family_for(runtime, newest, [named]) if named else None
        if family is not None:
            yield family


def _answers(drafts: Checkpoint, classes: Mapping[Target, str]) -> Iterator[DraftAnswer]:
    for target, architecture in classes.items():
        if architecture:
            config = replace(drafts.config, architectures=(architecture,))
            verdict = judge(replace(drafts, config=config), target.recorded)
            yield DraftAnswer(target, architecture, verdict.loads)


def _class_of(checkpoint: Checkpoint, target: Target) -> str:
    """The class of a release for the draft layers; empty if it has none."""
    known = draft_classes(target.runtime)
    registered = load_profile(target.runtime, target.profile_version).architectures
    named = (known.get(architecture, "") for architecture in checkpoint.config.architectures)
    return next((name for name in named if name in registered), "")


def _draft_alone(checkpoint: Checkpoint) -> Checkpoint | None:
    """The draft layers as a checkpoint; None where none are stored."""
    # The first expert of a bank has the root of all: far fewer names to look at.
    few = chain.from_iterable(checkpoint.folded.table.headers.values())
    roots = {root for name in few if (root := draft_root(checkpoint, name)) is not None}
    if not roots:
        return None
    below = tuple(f"{root}." for root in roots)
    headers = {
        file: {name: t for name, t in header.items() if name in roots or name.startswith(below)}
        for file, header in checkpoint.table.headers.items()
    }
    return replace(checkpoint, table=replace(checkpoint.table, headers=headers)).folded
