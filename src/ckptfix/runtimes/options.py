"""Options without which a server would not load a checkpoint as it is stored."""

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.target_verdict import TargetVerdict


def with_options(checkpoint: Checkpoint, verdict: TargetVerdict) -> TargetVerdict:
    """The verdict, with what the server has to be told; a verdict other than yes as it is."""
    if verdict.loads.answer is not Answer.YES:
        return verdict
    target, metadata = verdict.target, verdict.metadata
    options = runtime_named(target.runtime).needed_options(
        target.profile_version,
        next(iter(checkpoint.config.architectures), ""),
        metadata.quant_algo if metadata is not None else "",
        {module.name: module.stored for module in verdict.modules},
    )
    return replace(verdict, options=options) if options else verdict
