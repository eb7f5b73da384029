"""`check` of many checkpoints: remote ones are prefetched, local ones shared among processes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from msgspec import structs

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError, MissingShardsError, UnsupportedError
from ckptfix.operations.check_one import (
    CheckRequest,
    check_loaded,
    checkpoint_of,
    load,
    shown_name,
)
from ckptfix.operations.checked import CheckedCheckpoint, ReleaseAnswer, answers_of
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import with_name
from ckptfix.operations.processes import each_in_turn, processes_for
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.reference import Reference, is_remote
from ckptfix.runtimes.releases import counted_targets, every_target
from ckptfix.runtimes.without_shards import judge_without_shards

_Loaded = Callable[[], tuple[Reference, Checkpoint]]
"""Raises the error that occurred while it was read."""


def check_each(
    names: Sequence[str], request: CheckRequest, listener: Listener = SILENT
) -> Iterator[CheckedCheckpoint]:
    """Check checkpoints; one that cannot be checked has an `error` and does not stop the others.

    Each is yielded as soon as it is done: in the order of `names` where all are on this machine.
    """
    unlike = list(dict.fromkeys(map(checkpoint_of, names)))
    # Only this process queries an installed runtime.
    asks = any(target.installed is not None for target in request.targets)
    processes = 1 if asks else processes_for(len(unlike), request.jobs)
    if any(map(is_remote_name, unlike)):
        for name, loaded in _read_ahead(unlike, request, listener):
            yield _checked(name, loaded, request, listener)
    elif processes > 1:
        work = partial(_check_apart, request)
        yield from each_in_turn(unlike, work, listener, processes=processes)
    else:
        for name in unlike:
            yield _checked(name, partial(load, name, request, listener), request, listener)


def in_order(
    names: Sequence[str], checked: Iterable[CheckedCheckpoint], request: CheckRequest
) -> tuple[CheckedCheckpoint, ...]:
    """The results of `check_each`, or what is left of them, in the order of the names."""
    by_name = {found.name: found for found in checked}
    shown = (shown_name(checkpoint_of(name), request) for name in names)
    return tuple(by_name[name] for name in dict.fromkeys(shown) if name in by_name)


def is_remote_name(name: str) -> bool:
    """True if, judging by its name, something must be fetched to check it."""
    try:
        return is_remote(name)
    except CkptfixError:
        return False


def _read_ahead(
    names: Sequence[str], request: CheckRequest, listener: Listener
) -> Iterator[tuple[str, _Loaded]]:
    """Each name and its checkpoint; several are read concurrently.

    Threads only read: the time of untrusted expressions can only be limited in the main thread.
    """
    from concurrent.futures import (  # noqa: PLC0415 - not for a local checkpoint, 4 ms
        Future,
        ThreadPoolExecutor,
        as_completed,
    )

    left = iter(names)
    with ThreadPoolExecutor(request.jobs) as pool:

        def begin(name: str) -> Future[tuple[Reference, Checkpoint]]:
            return pool.submit(load, name, request, listener)

        # At most `jobs` are read ahead: checking is slower, and waiting checkpoints take memory.
        waiting = {begin(name): name for name in islice(left, request.jobs)}
        try:
            while waiting:
                finished = next(as_completed(waiting))
                name = waiting.pop(finished)
                yield name, finished.result
                del finished
                waiting |= {begin(name): name for name in islice(left, 1)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _checked(
    name: str, loaded: _Loaded, request: CheckRequest, listener: Listener
) -> CheckedCheckpoint:
    try:
        reference, checkpoint = loaded()
        with limited():
            return check_loaded(reference, checkpoint, request, listener)
    except CkptfixError as error:
        shown = shown_name(name, request)
        unsupported = isinstance(error, UnsupportedError)
        return CheckedCheckpoint(
            shown,
            error=with_name(shown, error),
            unsupported=unsupported,
            runtimes=_from_metadata(error, request),
            requested=bool(request.targets),
        )


def _from_metadata(error: CkptfixError, request: CheckRequest) -> tuple[ReleaseAnswer, ...]:
    """What metadata and names alone decide, where only the shard files are missing."""
    checkpoint = error.without_tensors if isinstance(error, MissingShardsError) else None
    if not isinstance(checkpoint, Checkpoint) or not checkpoint.metadata:
        return ()
    asked = [target for target in request.targets if target.installed is None]
    targets = asked or every_target()
    with limited():
        verdicts = [judge_without_shards(checkpoint, target) for target in targets]
        counted = asked or counted_targets(checkpoint)
    return answers_of(verdicts, counted, ())


def _check_apart(request: CheckRequest, name: str, listener: Listener) -> CheckedCheckpoint:
    """The result for a checkpoint, without data that reports do not need, for another process."""
    found = _checked(name, partial(load, name, request, listener), request, listener)
    advised = found.advised
    if advised is not None:
        advised = replace(advised, planned=None, then=_short(advised.then))
    return replace(found, runtimes=_short(found.runtimes), advised=advised)


def _short(answers: Iterable[ReleaseAnswer]) -> tuple[ReleaseAnswer, ...]:
    return tuple(
        replace(answer, verdict=structs.replace(answer.verdict, bound=None, metadata=None))
        for answer in answers
    )
