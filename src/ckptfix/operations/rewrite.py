"""`rewrite` and `undo`: carry a plan out in place, into a directory, or as a pull request."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError
from ckptfix.operations.loading import open_named
from ckptfix.operations.plan import RewritePlan, plan_rewrite_of, request_from
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.cache_entry import is_snapshot
from ckptfix.remote.opening import NetworkPolicy, Opened
from ckptfix.remote.reference import Directory, Repository
from ckptfix.rewriting.apply import Recovered, apply_changes, recover
from ckptfix.rewriting.apply import undo as restore
from ckptfix.rewriting.output import (
    WEIGHT_SUFFIXES,
    Output,
    make_metadata_output,
    make_output,
    require_free,
)
from ckptfix.rewriting.portable import Strategy
from ckptfix.rewriting.tensors.written import NOTHING_ELSE, Written, read_written
from ckptfix.text import visible


class RewriteRefusedError(CkptfixError):
    """The plan would break something; nothing was written."""

    def __init__(self, plan: RewritePlan) -> None:
        super().__init__(
            f"{visible(str(plan.opened.reference))}: the rewrite was refused because it would "
            "break something; nothing was written",
            advice=f"use `rewrite({plan.further.advised.arguments})`" if plan.further else "",
        )
        self.plan = plan


@dataclass(frozen=True)
class RewriteResult:
    """A rewrite that was carried out."""

    plan: RewritePlan
    directory: Path
    """The directory that holds the result."""
    written: Written = NOTHING_ELSE
    """Files written besides the metadata."""
    output: Output | None = None
    """How the directory was made; None where the checkpoint was rewritten in place."""

    def undo(self) -> tuple[str, ...]:
        """Restore the files of a checkpoint that was rewritten in place; their names.

        Raises:
            CkptfixError: it was written to another directory, there is nothing to undo, or a file
                was edited after the rewrite.
        """
        if self.output is not None:
            raise CkptfixError(
                f"{visible(str(self.directory))}: created by the rewrite; there is nothing to undo",
                advice="remove the directory",
            )
        return restore(DirectorySource.open(str(self.directory)))


def in_place(opened: Opened) -> DirectorySource:
    """The directory that can be rewritten in place.

    Raises:
        CkptfixError: a repository, a URL, or a snapshot of a cache.
    """
    source = opened.source
    if isinstance(opened.reference, Directory) and isinstance(source, DirectorySource):
        if not is_snapshot(source.root):
            return source
        raise CkptfixError(
            f"{visible(str(opened.reference))}: is in the Hugging Face cache, which ckptfix never "
            "modifies",
            advice="use `output=DIR` to write a repaired checkpoint elsewhere",
        )
    raise CkptfixError(
        f"{visible(str(opened.reference))}: cannot be rewritten in place",
        advice="use `output=DIR` to write a repaired checkpoint elsewhere",
    )


def complete(opened: Opened) -> Recovered | None:
    """Complete an interrupted rewrite of a directory; None if there is none."""
    return recover(in_place(opened))


def require_free_output(opened: Opened, directory: str) -> Path:
    """The directory to write to; an unsuitable one is refused up front.

    Raises:
        CkptfixError: it exists and is not empty, is a file, or lies in the checkpoint.
    """
    source = opened.source
    return require_free(directory, source.root if isinstance(source, DirectorySource) else None)


def apply(plan: RewritePlan, listener: Listener = SILENT) -> RewriteResult:
    """Write the plan into the checkpoint itself.

    Raises:
        RewriteRefusedError: it would break something.
        CkptfixError: the checkpoint is not a directory, or has changed since it was read, or the
            file system refuses.
    """
    _require_harmless(plan)
    source = in_place(plan.opened)
    written = read_written(source, plan.tensors, elsewhere=False)
    changes = (*plan.plan.files, *written.changes.json_files)
    if changes or written.changes.shards:
        listener.step(Step("writing", str(plan.opened.reference)))
        apply_changes(source, changes, written.changes.shards)
    return RewriteResult(plan, source.root, written)


def write_output(
    plan: RewritePlan, free: Path, *, with_weights: bool = False, listener: Listener = SILENT
) -> RewriteResult:
    """Make a directory with the rewritten checkpoint, and leave the original alone.

    Args:
        plan: what to write.
        free: what `require_free_output` returned.
        with_weights: download the weights of a repository too; those of a directory are linked.
        listener: called while it works.

    Raises:
        RewriteRefusedError: the plan would break something.
        CkptfixError: the weights are needed and not there, or the file system refuses.
    """
    _require_harmless(plan)
    source = plan.opened.source
    written = read_written(source, plan.tensors, elsewhere=True)
    files, shards = (*plan.plan.files, *written.changes.json_files), written.changes.shards
    if with_weights and not isinstance(source, DirectorySource):
        source = _with_weights(plan, listener)
    if isinstance(source, DirectorySource):
        made = make_output(source, free, files, shards)
    elif shards:
        raise CkptfixError(
            f"`tensors` changes shard files, but those of {visible(str(plan.opened.reference))} "
            "are not downloaded",
            advice="set `with_weights`",
        )
    else:
        made = make_metadata_output(source, free, files)
    return RewriteResult(plan, free, written, made)


def _require_harmless(plan: RewritePlan) -> None:
    if plan.refused:
        raise RewriteRefusedError(plan)


def _with_weights(plan: RewritePlan, listener: Listener) -> DirectorySource:
    from ckptfix.remote.download import download  # noqa: PLC0415 - imports huggingface_hub

    repository = plan.opened.reference
    if not isinstance(repository, Repository):
        raise CkptfixError(
            f"{visible(str(repository))}: weights can only be downloaded from Hub repositories"
        )
    stored = set(plan.checkpoint.table.shard_files)
    names = plan.opened.source.names()
    needed = [n for n in names if n in stored or not n.endswith(WEIGHT_SUFFIXES)]
    return download(repository, plan.opened.commit, needed, listener)


def rewrite(
    checkpoint: str | os.PathLike[str],
    *,
    runtimes: Sequence[str] = (),
    maps: Sequence[str] = (),
    mapper: str | None = None,
    strategy: Strategy = "auto",
    from_tensors: bool = False,
    tensors: bool = False,
    output: str | os.PathLike[str] | None = None,
    with_weights: bool = False,
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> RewriteResult:
    """Plan a rewrite and carry it out, in place or into another directory.

    A rewrite in place that was interrupted is completed first.

    Args:
        checkpoint: a directory; with `output` also a repository of the Hub, or a URL.
        runtimes: as in `plan`.
        maps: as in `plan`.
        mapper: as in `plan`.
        strategy: as in `plan`.
        from_tensors: as in `plan`.
        tensors: as in `plan`.
        output: a new directory for the result; the checkpoint itself is left alone.
        with_weights: with `output`, download the weights of a repository too.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        RewriteRefusedError: it would break something; nothing was written.
        CkptfixError: it cannot be read, planned or written.
    """
    request = request_from(
        runtimes, maps, mapper, strategy, from_tensors=from_tensors, tensors=tensors
    )
    opened = open_named(os.fspath(checkpoint), NetworkPolicy(revision, offline, refresh), listener)
    if output is None:
        complete(opened)
        return apply(plan_rewrite_of(opened, request, listener), listener)
    free = require_free_output(opened, os.fspath(output))
    planned = plan_rewrite_of(opened, request, listener)
    return write_output(planned, free, with_weights=with_weights, listener=listener)


def undo(directory: str | os.PathLike[str]) -> tuple[str, ...]:
    """Restore a directory as it was before its first rewrite; the names of the files restored.

    Raises:
        CkptfixError: there is nothing to undo, or a file was edited after the rewrite.
    """
    return restore(in_place(open_named(os.fspath(directory))))
