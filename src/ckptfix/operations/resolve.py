"""`resolve`: how runtimes resolve some modules, step by step."""

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.installed.targets import targets_of
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import NetworkPolicy
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.releases import judge_all, newest_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target

MOST_NEAREST: Final = 3
"""Number of names suggested for one that matches nothing."""
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class ResolvedModules:
    """The requested modules, in one release."""

    verdict: TargetVerdict
    """The verdict on the whole checkpoint."""
    modules: tuple[ModuleVerdict, ...]
    """Those that match; empty where the release builds none of them."""


def resolve_modules(
    checkpoint: Checkpoint,
    globs: Sequence[str],
    targets: Sequence[Target] = (),
    listener: Listener = SILENT,
) -> tuple[ResolvedModules, ...]:
    """What each release resolves for the modules that match.

    Args:
        checkpoint: tensors and metadata.
        globs: module names, the runtime's or the checkpoint's; `*` matches any characters.
        targets: target releases; if empty, the newest known one of each runtime.
        listener: called while it works.

    Raises:
        CkptfixError: no release registers the architecture.
    """
    pattern = re.compile("|".join(map(fnmatch.translate, globs)))
    with limited():
        verdicts = judge_all(checkpoint, targets or newest_targets(), listener)
    return tuple(ResolvedModules(verdict, _matching(verdict, pattern)) for verdict in verdicts)


def unmatched_modules(
    resolved: Iterable[ResolvedModules], globs: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """The globs that match no module of any release, with the nearest names of modules.

    Empty if no release has a verdict: then it is not known which modules it builds.
    """
    modules = [module for one in resolved for module in one.verdict.modules]
    names = dict.fromkeys(name for m in modules for name in (m.name, *m.members))
    if not names:
        return {}
    return {
        glob: _nearest(glob, names)
        for glob in globs
        if not any(map(re.compile(fnmatch.translate(glob)).fullmatch, names))
    }


def _nearest(glob: str, names: Iterable[str]) -> tuple[str, ...]:
    """The nearest kinds of names, and for each kind the name with the nearest numbers."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_NUMBER.sub("0", name), []).append(name)
    close = get_close_matches(_NUMBER.sub("0", glob.replace("*", "")), kinds, n=MOST_NEAREST)
    return tuple(
        max(kinds[masked], key=lambda name: SequenceMatcher(None, name, glob).ratio())
        for masked in close
    )


def _matching(verdict: TargetVerdict, pattern: re.Pattern[str]) -> tuple[ModuleVerdict, ...]:
    found = (m for m in verdict.modules if any(map(pattern.fullmatch, (m.name, *m.members))))
    return tuple(found)


def resolve(
    checkpoint: str | os.PathLike[str],
    modules: Sequence[str],
    *,
    runtimes: Sequence[str] = (),
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> tuple[ResolvedModules, ...]:
    """How each release resolves some modules, step by step.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        modules: globs over module names, the runtime's or the checkpoint's.
        runtimes: target releases; if empty, the newest known one of each runtime.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read, or no release registers its architecture.
    """
    targets = targets_of(runtimes)
    loaded = load(os.fspath(checkpoint), NetworkPolicy(revision, offline, refresh), listener)
    return resolve_modules(loaded, modules, targets, listener)
