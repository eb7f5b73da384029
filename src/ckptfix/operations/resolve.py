"""`resolve`: how runtimes get to their answers for some modules."""

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import Reach
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.releases import asked_targets, judge_all, newest_targets
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict


@dataclass(frozen=True)
class ResolvedModules:
    """The modules asked about, in one release."""

    verdict: TargetVerdict
    """Of the whole checkpoint."""
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
        checkpoint: both sides.
        globs: module names, the runtime's or the checkpoint's; `*` matches any characters.
        targets: the releases asked about; the newest known one of each runtime without any.
        listener: called while it works.

    Raises:
        CkptfixError: no release registers the architecture.
    """
    wanted = re.compile("|".join(map(fnmatch.translate, globs)))
    with limited():
        verdicts = judge_all(checkpoint, targets or newest_targets(), listener)
    return tuple(ResolvedModules(verdict, _matching(verdict, wanted)) for verdict in verdicts)


def _matching(verdict: TargetVerdict, wanted: re.Pattern[str]) -> tuple[ModuleVerdict, ...]:
    found = (m for m in verdict.modules if any(map(wanted.fullmatch, (m.name, *m.members))))
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
    """How each release gets to its answer for some modules.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        modules: globs over module names, the runtime's or the checkpoint's.
        runtimes: the releases asked about; the newest known one of each runtime without any.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: ask the Hub even where a snapshot is in the local cache.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read, or no release registers its architecture.
    """
    targets = asked_targets(runtimes)
    loaded = load(os.fspath(checkpoint), Reach(revision, offline, refresh), listener)
    return resolve_modules(loaded, modules, targets, listener)
