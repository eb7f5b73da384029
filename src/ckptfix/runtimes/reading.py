"""Which of a checkpoint's metadata a release uses, and how it reads it."""

from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.layer_maps import Files
from ckptfix.runtimes.profile import RuntimeProfile
from ckptfix.runtimes.registry import runtime_named


def read_metadata(
    checkpoint: Checkpoint, profile: RuntimeProfile, architecture: str
) -> EffectiveMetadata:
    """The metadata of a checkpoint as a release reads it; what is equal is one object.

    Raises:
        StopsError: the release stops before it builds a layer.
        NotModelOptError: the release reads it as another quantizer's.
    """
    key = "files"
    if key not in checkpoint.derived:
        checkpoint.derived[key] = Files.of(checkpoint.documents, checkpoint.metadata)
    files: Files = checkpoint.derived[key]
    runtime = runtime_named(profile.runtime)
    read = "read", runtime.name, runtime.reads_as(profile.version), architecture
    if read not in checkpoint.derived:
        found = runtime.read(files, profile.version, architecture) or _FINDS_NONE
        every: list[EffectiveMetadata] = checkpoint.derived.setdefault("read", [])
        equal = next((other for other in every if other == found), None)
        every.extend([found] if equal is None else [])
        checkpoint.derived[read] = found if equal is None else equal
    metadata: EffectiveMetadata = checkpoint.derived[read]
    return metadata


_FINDS_NONE: Final = EffectiveMetadata(
    "", (), "", ignored="this runtime finds no quantization metadata"
)
