"""Local folders that hold several checkpoints."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ckptfix.checkpoint.dialects.registry import METADATA_FILES
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE
from ckptfix.checkpoint.other_folders import ADAPTER_FILE, PIPELINE_FILE
from ckptfix.errors import CkptfixError
from ckptfix.remote.cache_entry import cache_snapshot, is_entry
from ckptfix.remote.local_url import local_path

_MOST_LEVELS: Final = 3
"""Levels of folders below the named one: `organization/name`, and one more for a kind."""
_MARKS: Final = frozenset({*METADATA_FILES, ADAPTER_FILE, PIPELINE_FILE} - {CONFIG_FILE})
_WEIGHTS: Final = (".safetensors", ".gguf")
_OF_A_MODEL: Final = (b'"architectures"', b'"model_type"', b'"quantization_config"')
"""Keys that distinguish the config.json of a model from that of other programs."""
_BEGINNING: Final = 1 << 20


def every_checkpoint(names: Iterable[str]) -> list[str]:
    """The names, with each folder of checkpoints replaced by the checkpoints in it.

    A folder without any stays, so that the error names it.
    """
    made: list[str] = []
    for name in names:
        made += checkpoints_below(name) or [name]
    return made


def checkpoints_below(name: str) -> list[str]:
    """The folders of models below a folder that is not a model itself; empty for anything else."""
    try:
        root = Path(local_path(name) or name)
        if not name.strip() or not root.is_dir() or _is_model(root) or cache_snapshot(root):
            return []
        return [os.path.normpath(found) for found in _models(root, _MOST_LEVELS)]
    except (CkptfixError, OSError, ValueError):
        return []  # reported where it is opened


def _models(folder: Path, levels: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        if _is_model(path) or is_entry(path):
            yield path
        elif levels > 1 and not path.is_symlink():
            yield from _models(path, levels - 1)


def _is_model(folder: Path) -> bool:
    """True for a folder of one model, however it is stored."""
    names = os.listdir(folder)
    if not _MARKS.isdisjoint(names) or any(name.endswith(_WEIGHTS) for name in names):
        return True
    if CONFIG_FILE not in names:
        return False
    with (folder / CONFIG_FILE).open("rb") as file:
        beginning = file.read(_BEGINNING)
    return any(mark in beginning for mark in _OF_A_MODEL)
