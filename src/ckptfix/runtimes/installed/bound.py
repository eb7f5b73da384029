"""The metadata as the nearest recorded release stores it, to show what decides."""

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.foreign import NotModelOptError
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.reading import read_metadata
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target


def bound_of(checkpoint: Checkpoint, target: Target) -> BoundMetadata | None:
    """The metadata as the recorded release stores it; None if it does not get that far."""
    try:
        profile = load_profile(target.runtime, target.profile_version)
        outer = outer_architecture(checkpoint.config, profile)
        metadata = read_metadata(checkpoint, profile, outer)
    except (StopsError, UnregisteredError, NotModelOptError):
        return None
    entries = {s.name: s.quant_algo or "" for s in metadata.entries}
    excludes = [statement.name for statement in metadata.excludes]
    runtime, algo = runtime_named(target.runtime), metadata.quant_algo
    return runtime.bind(profile, [outer], entries, excludes, quant_algo=algo)
