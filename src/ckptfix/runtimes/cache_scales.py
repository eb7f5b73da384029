"""What a release does with stored scales of a KV cache, by its family or as it was learned."""

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.learned.store import Learned, of_release
from ckptfix.runtimes.targets import Target


def cache_scales(
    checkpoint: Checkpoint, family: Family, target: Target, architecture: str
) -> tuple[bool, bool]:
    """Whether the classes load scales of a KV cache, and whether they stop there.

    A family rests on the newest of its releases that was learned; an older one may do otherwise.
    """
    known = seen_with_cache_scales(checkpoint, family, target, architecture)
    if known is None:
        return family.loads_kv_scales, False
    loads = known.table.kv_scales
    return family.loads_kv_scales if loads is None else loads, known.table.stops_at_kv_scales


def seen_with_cache_scales(
    checkpoint: Checkpoint, family: Family, target: Target, architecture: str
) -> Learned | None:
    """What was learned of a release; None where no such scales are stored, or the family has it."""
    spec = family.spec
    in_every_release = spec.kv_scales is not None or spec.stops_at_kv_scales
    is_written = in_every_release or architecture in spec.stops_at_kv_scales_in
    if is_written or not has_cache_scales(checkpoint):
        return None
    return of_release(target.runtime, target.profile_version, architecture)


def has_cache_scales(checkpoint: Checkpoint) -> bool:
    """Whether scales or biases of a KV cache are stored."""
    key = "has scales of a KV cache"
    if key not in checkpoint.table.derived:
        modules = checkpoint.modules.values()
        checkpoint.table.derived[key] = any(role in m.tensors for m in modules for role in KV_ROLES)
    return bool(checkpoint.table.derived[key])
