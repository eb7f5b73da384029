"""An entry of huggingface_hub's cache, named as a directory: `models--ORG--NAME`."""

from pathlib import Path
from typing import Final

from ckptfix.errors import CkptfixError
from ckptfix.remote.snapshots import cached_commit
from ckptfix.text import visible

CACHE_ENTRY: Final = "models--"
"""What the name of an entry starts with."""


def cache_snapshot(folder: Path) -> Path | None:
    """The snapshot that an entry of huggingface_hub's cache means; None for other folders.

    It is that of `main`, or the only one.

    Raises:
        CkptfixError: there are several, and it is not known which one is meant.
    """
    snapshots = folder / "snapshots"
    if not is_entry(folder):
        return None
    there = sorted(path for path in snapshots.iterdir() if path.is_dir())
    main = cached_commit(folder, "main")
    chosen = [path for path in there if path.name == main] or there
    if len(chosen) == 1:
        return chosen[0]
    what = f"{len(there)} snapshots and no main" if there else "no snapshot"
    advice = f"name one, such as {visible(str(there[0]))}" if there else "download it again"
    raise CkptfixError(f"{visible(str(folder))}: holds {what}", advice=advice)


def is_snapshot(folder: Path) -> bool:
    """True for a snapshot in huggingface_hub's cache: its files are links that others share."""
    return folder.parent.name == "snapshots" and is_entry(folder.parent.parent)


def is_entry(folder: Path) -> bool:
    """True for the folder of a repository."""
    return folder.name.startswith(CACHE_ENTRY) and (folder / "snapshots").is_dir()
