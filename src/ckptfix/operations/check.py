"""`check`: compare the metadata and the tensors of a checkpoint; nothing is written."""

import os
from collections.abc import Sequence

from ckptfix.installed.targets import targets_of
from ckptfix.operations.check_one import CheckRequest, check_one
from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.operations.plans import map_arguments
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import NetworkPolicy
from ckptfix.rules.selection import EVERY, Selection, parse_codes
from ckptfix.runtimes.name_maps import own_name_map


def check(
    checkpoint: str | os.PathLike[str],
    *,
    runtimes: Sequence[str] = (),
    maps: Sequence[str] = (),
    mapper: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> CheckedCheckpoint:
    """Compare the metadata and the tensors of a checkpoint; nothing is written.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        runtimes: the releases to check, as `vllm==0.17.1`, `sglang>=0.5.10` or `vllm`; every
            known release without any.
        maps: prefixes to rename, ``OLD=NEW`` each; they replace the built-in name map.
        mapper: path of a mapper file, likewise.
        select: codes of the rules that count, or prefixes of codes; all without any.
        ignore: codes that do not.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be checked.
    """
    request = CheckRequest(
        own_name_map(maps, mapper),
        map_arguments(maps, mapper),
        targets_of(runtimes),
        Selection(parse_codes(select, "select") or (EVERY,), parse_codes(ignore, "ignore")),
        policy=NetworkPolicy(revision, offline, refresh),
    )
    return check_one(os.fspath(checkpoint), request, listener)
