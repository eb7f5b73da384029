"""One tensor renamed in a shard file of 2 GB, next to safetensors' `save_file` of the same tensors.

    python benchmarks/rename.py        # needs numpy, and 6 GB under /tmp for a minute

All ways run in turn in one process, ROUNDS times, each behind a `sync`; medians and ratios of the
same run. `save_file` writes tensors that are in memory already, and does not fsync; ours does.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.rewriting.apply import apply_changes, undo
from ckptfix.rewriting.tensors.headers import rename_in_head
from ckptfix.rewriting.tensors.shard_file import read_head

ROUNDS = 3
TENSORS = 128
BYTES_OF_ONE = 16 << 20
SHARD = "model.safetensors"
OLD = "model.layers.0.old.weight"
SHORTER = "model.layers.0.new.weight"
LONGER = "model.layers.0.a_much_longer_name.weight"


def rename(directory: Path, new: str) -> None:
    """As `ckptfix rewrite --tensors` does it, journal and fsync included."""
    change = rename_in_head(SHARD, read_head(directory / SHARD), {OLD: new})
    apply_changes(DirectorySource.open(str(directory)), (), (change,))


def seconds_of(work: Callable[[], None]) -> float:
    """Seconds for one way, with nothing left to write from before."""
    os.sync()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    directory = Path(tempfile.mkdtemp(prefix="ckptfix-rename-", dir="/tmp"))
    try:
        random = np.random.default_rng(0)
        made = {
            f"model.layers.{n}.old.weight": random.integers(0, 255, BYTES_OF_ONE, dtype=np.uint8)
            for n in range(TENSORS)
        }
        save_file(made, directory / SHARD)
        del made
        loaded = load_file(directory / SHARD)
        loaded[SHORTER] = loaded.pop(OLD)
        copy = directory.parent / f"{directory.name}.copy.safetensors"
        seconds: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, work in (
                ("`save_file`, tensors in memory", lambda: save_file(loaded, copy)),
                ("rename that fits, in place", lambda: rename(directory, SHORTER)),
                ("`--undo` of it", lambda: void(directory)),
                ("rename that does not fit, copied", lambda: rename(directory, LONGER)),
                ("`--undo` of the copy", lambda: void(directory)),
            ):
                seconds.setdefault(name, []).append(seconds_of(work))
            copy.unlink()
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        baseline = next(iter(medians.values()))
        print("| way | median ms | of `save_file` |\n|---|---|---|")
        for name, median in medians.items():
            print(f"| {name} | {median * 1000:.1f} | {median / baseline:.4f} |")
    finally:
        shutil.rmtree(directory)


def void(directory: Path) -> None:
    """Take the rename back."""
    undo(DirectorySource.open(str(directory)))


if __name__ == "__main__":
    main()
