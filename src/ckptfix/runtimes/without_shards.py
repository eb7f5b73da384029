"""What a release answers where the shard files of a checkpoint are missing: no, or unknown."""

from contextlib import suppress

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.foreign import NotModelOptError
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.loads import SHARDS_MISSING
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.reading import read_metadata
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge


def judge_without_shards(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    """The answer by the metadata, and by the names of the tensors where an index has them.

    Args:
        checkpoint: its table has the names, or is empty.
        target: a release that is not an installed one.
    """
    if checkpoint.table.tensors:
        return judge(checkpoint, target)
    profile = load_profile(target.runtime, target.profile_version)
    try:
        outer = outer_architecture(checkpoint.config, profile)
        with suppress(NotModelOptError):
            read_metadata(checkpoint, profile, outer)
    except StopsError as stop:
        at = stop.place_in(checkpoint.documents)
        return TargetVerdict(target, refusal=stop.reason, at=at)
    except UnregisteredError as absent:
        return TargetVerdict(target, str(absent), unregistered=True)
    return TargetVerdict(target, f"{SHARDS_MISSING}; the metadata alone does not stop it")
