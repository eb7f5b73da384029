"""`online`: what releases would quantize of an unquantized checkpoint while loading it."""

import os
from collections.abc import Sequence

from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load_unquantized
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.opening import NetworkPolicy
from ckptfix.runtimes.online import OnlineAnswer, quantized_online
from ckptfix.runtimes.releases import newest_targets, requested_targets


def online(
    checkpoint: str | os.PathLike[str],
    *,
    method: str,
    runtimes: Sequence[str] = (),
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> tuple[OnlineAnswer, ...]:
    """Which modules each release quantizes, leaves, or stops at.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        method: the value of --quantization, such as `fp8`.
        runtimes: releases, such as `vllm==0.28.0`; if empty, the newest known one of each runtime.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read, or there is no such release.
    """
    targets = requested_targets(runtimes) or newest_targets()
    policy = NetworkPolicy(revision, offline, refresh)
    loaded = load_unquantized(os.fspath(checkpoint), policy, listener)
    answers = []
    with limited():
        for number, target in enumerate(targets):
            step = f"placing modules for {target}"
            listener.step(Step(step, loaded.name, number, len(targets)))
            answers.append(quantized_online(loaded, target, method))
    return tuple(answers)
