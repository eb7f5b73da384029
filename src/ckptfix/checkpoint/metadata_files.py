"""The metadata files of a checkpoint, of which config.json may make all others unnecessary."""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    CONFIG_ROOT,
    PARAMS_FILE,
    find_at,
)
from ckptfix.checkpoint.document import parse_document
from ckptfix.checkpoint.source import Source
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText
from ckptfix.place import Place

_ALWAYS_READ: Final = frozenset({CONFIG_FILE, PARAMS_FILE})


class Unread(Struct, frozen=True):
    """A file that does not hold a JSON object, and that no runtime opens."""

    place: Place
    problem: str


def read_metadata(
    source: Source, files: Iterable[str]
) -> tuple[dict[str, JsonText], tuple[Unread, ...]]:
    """Those of these files that are there, by name, and those that no runtime opens.

    Where config.json declares how the model is quantized, vLLM and SGLang do not open the other
    files (vllm 0.33.0 vllm/transformers_utils/config.py `get_config`, sglang 0.5.23
    sglang/srt/configs/model_config.py `_parse_quant_hf_config`): what they hold stops nothing. For
    MIXED_PRECISION, SGLang may (sglang/srt/model_loader/weight_utils.py `get_quant_config`).

    Raises:
        CkptfixError: one cannot be read, or one that decides does not hold a JSON object.
    """
    data = {file: source.read(file) for file in files if source.has(file)}
    documents: dict[str, JsonText] = {}
    unread: list[Unread] = []
    for file in sorted(data, key=lambda file: file not in _ALWAYS_READ):
        try:
            documents[file] = parse_document(file, data[file])
        except CkptfixError as error:
            if file in _ALWAYS_READ or not _decides(documents.get(CONFIG_FILE)):
                raise
            unread.append(Unread(error.place or Place(file), error.problem))
    return {file: documents[file] for file in data if file in documents}, tuple(unread)


def _decides(config: JsonText | None) -> bool:
    found: Any = find_at(config.value, CONFIG_ROOT) if config else None
    if not isinstance(found, dict) or not found:
        return False
    named = (found.get("quant_algo"), found.get("quant_method"))
    return not any("mixed" in str(name).lower() for name in named)
