"""Several processes under torchrun: each reads its share, the first writes the report."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import torch.distributed as dist
from msgspec import Struct

from ckptfix.checkpoint.numbers import Numbers
from ckptfix.errors import CkptfixError
from ckptfix.verifying.outcome import Part
from ckptfix.verifying.plan import Plan

_PATIENCE = timedelta(hours=12)
"""How long the first rank waits for the slowest; a rank that dies is noticed at once."""


class Ranks(Struct, frozen=True):
    """The rank of this process, and the number of processes."""

    rank: int = 0
    size: int = 1


@contextmanager
def ranks() -> Iterator[Ranks]:
    """The processes that torchrun started; a single one without it.

    Raises:
        CkptfixError: they cannot be joined.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size <= 1 or "MASTER_ADDR" not in os.environ:
        yield Ranks()
        return
    try:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        first, *_ = str(error).splitlines()
        raise CkptfixError(f"the torchrun ranks cannot be joined: {first}") from error
    # torchrun ends all ranks when one has died; the sentence must not depend on who is faster.
    previous = signal.signal(signal.SIGTERM, _stopped)
    try:
        yield Ranks(dist.get_rank(), size)
    finally:
        signal.signal(signal.SIGTERM, previous)
        dist.destroy_process_group()


def _died() -> CkptfixError:
    return CkptfixError(
        "another rank exited before reporting",
        advice="see its error above; there is no report",
    )


def _stopped(*_: object) -> None:
    raise _died()


def gather(part: Part, of: Ranks, plan: Plan) -> Part | None:
    """The results of all ranks, in the order of the whole plan; None on all but the first.

    Raises:
        CkptfixError: a rank has died.
    """
    if of.size == 1:
        return part
    parts: list[Part] | None = [Part()] * of.size if of.rank == 0 else None
    try:
        dist.gather_object(part, parts)
    except RuntimeError as error:
        raise _died() from error
    return None if parts is None else _joined(parts, plan)


def _joined(parts: list[Part], plan: Plan) -> Part:
    order = {gemm.name: place for place, gemm in enumerate(plan.gemms)}
    results = sorted(
        (result for part in parts for result in part.results),
        key=lambda result: order[result.planned.name],
    )
    joined = sorted(
        (joined for part in parts for joined in part.numbers.joined),
        key=lambda joined: order[joined.name.partition("[")[0]],
    )
    found = {name: n for part in parts for name, n in part.numbers.modules.items()}
    members = [m for gemm in plan.gemms for m in gemm.members] + list(plan.loose)
    places = {name: place for place, name in enumerate(members)}
    names = sorted(found, key=lambda name: places[name.partition("[")[0]])
    numbers = Numbers({name: found[name] for name in names}, tuple(joined), plan.banks)
    return replace(
        parts[0],
        results=tuple(results),
        numbers=numbers,
        nbytes=sum(part.nbytes for part in parts),
        seconds=max(part.seconds for part in parts),
        interrupted=any(part.interrupted for part in parts),
    )
