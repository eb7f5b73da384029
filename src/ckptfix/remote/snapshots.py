"""Snapshots that huggingface_hub has already downloaded; its cache is read and never written.

Layout of huggingface_hub 2.4.0: `models--ORG--NAME/refs/REVISION` holds a commit,
`snapshots/COMMIT/` the files, `trees/COMMIT.json` the list of all files (_tree_cache.py).
"""

import json
from pathlib import Path
from typing import Final

from ckptfix.checkpoint.dialects.registry import METADATA_FILES
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, PARAMS_FILE
from ckptfix.checkpoint.mistral import JSON_FILES, OWN_SHARDS, OWN_SINGLE_FILE
from ckptfix.checkpoint.shard_index import INDEX_FILE, SINGLE_FILE

_NEEDED: Final = (*METADATA_FILES, INDEX_FILE, *JSON_FILES)


def repository_folder(cache: Path, name: str) -> Path:
    """Where the cache keeps a repository."""
    return cache / "--".join(["models", *name.split("/")])


def cached_commit(folder: Path, revision: str) -> str | None:
    """The commit of a branch or tag at the last download."""
    try:
        return (folder / "refs" / revision).read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def whole_snapshot(folder: Path, commit: str) -> Path | None:
    """The snapshot of a commit, if it has metadata and all weights."""
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    needed = _listed(folder / "trees" / f"{commit}.json")
    if needed is None:
        needed = _indexed(snapshot)
    there = bool(needed) and all((snapshot / name).exists() for name in needed or ())
    return snapshot if there else None


def _listed(tree: Path) -> set[str] | None:
    """The files that the repository's file list requires; None without a list."""
    try:
        files = json.loads(tree.read_bytes())["files"]
        return {name for name in files if name in _NEEDED or _is_shard(name)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _indexed(snapshot: Path) -> set[str] | None:
    """The files that the index requires, or the single weight file; None if neither exists."""
    config, index_file, single_file = CONFIG_FILE, INDEX_FILE, SINGLE_FILE
    if not (snapshot / config).exists() and (snapshot / PARAMS_FILE).exists():
        config, index_file, single_file = PARAMS_FILE, OWN_SHARDS.index_file, OWN_SINGLE_FILE
    try:
        index = json.loads((snapshot / index_file).read_bytes())
        return {config, *map(str, index["weight_map"].values())}
    except FileNotFoundError:
        return {config, single_file}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_shard(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name
