"""`resolve`: how runtimes resolve some modules, step by step."""

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.installed.targets import targets_of
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import NetworkPolicy
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.releases import judge_all, newest_targets
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict


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
