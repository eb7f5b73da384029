"""Which of a checkpoint's metadata a release uses, and what it makes of them."""

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.lookup.dialects import dialect_of
from ckptfix.runtimes.profile import RuntimeProfile
from ckptfix.runtimes.reading.effective import EffectiveMetadata
from ckptfix.runtimes.reading.layer_maps import Files
from ckptfix.runtimes.reading.releases import sglang_reading, vllm_reading
from ckptfix.runtimes.reading.sglang import SglangRelease, read_sglang
from ckptfix.runtimes.reading.vllm import read_vllm


def read_metadata(
    checkpoint: Checkpoint, profile: RuntimeProfile, architecture: str
) -> EffectiveMetadata:
    """The metadata of a checkpoint as a release holds them.

    Raises:
        StopsError: the release stops before it builds a layer.
        NotModelOptError: the release reads them as another quantizer's.
    """
    files = Files.of(checkpoint.documents, checkpoint.metadata)
    dialect = dialect_of(profile.runtime, profile.version)
    if profile.runtime == "vllm":
        found = read_vllm(files, vllm_reading(profile.version), dialect.uniform)
    else:
        release = SglangRelease(sglang_reading(profile.version), dialect, architecture)
        found = read_sglang(files, release)
    if found is None:
        return EffectiveMetadata("", (), "", ignored="this runtime finds no quantization metadata")
    return found
