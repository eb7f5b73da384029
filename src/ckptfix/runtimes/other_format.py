"""The verdict of a release that reads the other format of a checkpoint that is stored in two.

Mistral AI publishes models in the format of transformers and in its own. Findings and rewrites are
about the former; a release that reads the latter has an answer, and no modules of the former.
"""

from typing import Final

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, PARAMS_FILE
from ckptfix.checkpoint.mistral import OWN_FILES
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.loads import Answer, Reason
from ckptfix.runtimes.target_verdict import TargetVerdict

READ: Final = f"reads {PARAMS_FILE} and {OWN_FILES}, not {CONFIG_FILE}"
READ_FILES: Final = f"reads {OWN_FILES}, not the other shard files"


def of_other_format(own: TargetVerdict, read: Checkpoint) -> TargetVerdict:
    """The answer for a checkpoint, from the verdict on what is stored of it in Mistral's format."""
    loads, target = own.loads, own.target
    notes = (READ if read.is_mistral else READ_FILES, *own.notes)
    found = TargetVerdict(target, is_of_other_format=True, options=own.options, notes=notes)
    if loads.answer is Answer.UNKNOWN:
        return replace(found, unknown_because=loads.unknown_because)
    if own.refusal is not None:
        return replace(found, refusal=own.refusal, at=own.at)
    faults = tuple(Reason(str(r), r.effect, tensor=r.tensor, cause=r.cause) for r in loads.reasons)
    return replace(found, faults=faults)


def with_other_flags(
    checkpoint: Checkpoint, runtime: Runtime, own: TargetVerdict, theirs: TargetVerdict
) -> TargetVerdict:
    """With the command that serves the checkpoint in the format of transformers, if that loads.

    Args:
        checkpoint: what is served.
        runtime: of the release.
        own: its answer, which is not yes.
        theirs: what it would be in the format of transformers.
    """
    if theirs.loads.answer is not Answer.YES or not runtime.flags_for_transformers:
        return own
    if checkpoint.table.index_file is None:  # without one, both are read with these flags
        note = f"to serve {CONFIG_FILE} and model*.safetensors instead: move {OWN_FILES} away"
    else:
        command = runtime.serve_command.format(checkpoint.name)
        flags = runtime.flags_for_transformers
        note = f"to serve {CONFIG_FILE} and model*.safetensors instead: {command} {flags}"
    return replace(own, notes=(*own.notes, note))
