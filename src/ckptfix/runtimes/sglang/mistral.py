"""When SGLang reads Mistral's own format: it decides by the name of the checkpoint.

Sources: sglang 0.5.10 to 0.5.23, `is_mistral_model` in sglang/srt/utils/hf_transformers/
mistral_utils.py, and `is_mistral_native_format` in sglang/srt/arg_groups/model_path_hook.py (in
server_args.py before 0.5.19).
"""

from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, PARAMS_FILE
from ckptfix.runtimes.common.mistral import NotReadError, OwnFormat, require_params
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.common.rows import row_for

FORMAT: Final = OwnFormat(takes_compressed=False, checks_windows=False)
"""How a release that reads params.json does it."""
_NAMES: Final = ("mistral-large-3", "mistral-small-4", "leanstral")
_DRAFT: Final = ("eagle", "mistral")
"""A path that has both is a draft's."""
FLAG: Final = "--model-config-parser mistral"
"""With it, a release reads params.json whatever the name of the checkpoint is."""


class OwnRow(Struct, frozen=True):
    """How a release, and those after it up to the next row, finds Mistral's own format."""

    since: str
    names: tuple[str, ...] = ()
    """A path that contains one of these is read in that format; empty where that is not known."""
    has_flag: bool = False
    """It has the option `FLAG`."""
    seeks_model_files: bool = False
    """It reads `consolidated*.safetensors` alone if there is no `model*.safetensors`."""


OWN: Final = (
    OwnRow("0.5.8"),
    OwnRow("0.5.10", names=_NAMES),
    OwnRow("0.5.12", names=_NAMES, has_flag=True, seeks_model_files=True),
)


def chooses(checkpoint: Checkpoint, version: str) -> Checkpoint:
    """What a release reads.

    Raises:
        StopsError: there is no config.json, and the name does not say that it is Mistral's, or it
            refuses params.json.
        NotReadError: it is not known what the release does.
    """
    own = checkpoint if checkpoint.is_mistral else checkpoint.other
    if own is None:
        return checkpoint
    row = row_for("sglang", version, OWN)
    if not own.is_mistral:
        files = (*checkpoint.table.shard_files, *checkpoint.table.unlisted_files)
        has_model_files = any(file.startswith("model") for file in files)
        return own if row.seeks_model_files and not has_model_files else checkpoint
    if not row.names:
        raise NotReadError(f"when this release reads {PARAMS_FILE} is not known to ckptfix")
    path = f"{checkpoint.name} {checkpoint.where}".lower()
    if all(part in path for part in _DRAFT):
        raise NotReadError(f"how it reads {PARAMS_FILE} of a draft is not known to ckptfix")
    if any(name in path for name in row.names):
        if own is checkpoint:
            require_params(own.documents[PARAMS_FILE], own.config_values or {}, FORMAT)
        return own
    if own is not checkpoint:
        return checkpoint
    named = f"{', '.join(row.names[:-1])} or {row.names[-1]}"
    option = f", or with {FLAG}" if row.has_flag else ""
    cause = (
        f"there is no {CONFIG_FILE}, and it reads {PARAMS_FILE} only if the path of the checkpoint "
        f"contains {named}{option}"
    )
    raise StopsError(cause, (PARAMS_FILE, ()))
