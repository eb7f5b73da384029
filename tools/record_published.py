"""Record what real classes did with exports made like published ones.

    tools/record_published.py FOLDER RESULTS

FOLDER has a checkpoint in each directory, `NAME`; RESULTS has `NAME.vllm.json` and
`NAME.sglang.json`, as `../shared/oracle/published/live.py` writes them, or a line of the batches in
`../shared/oracle/truth` for classes that read values. Every line of `tests/data/published.jsonl.gz`
is a checkpoint: its metadata, the headers of its weights, and for each release whether it loads and
why not, or null where only scales of a KV cache or parts that a server leaves out by default are
lost.
"""

import gzip
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import record_architectures
from record_architectures import DATA, OPTIONAL, recorded
from truth_loop.stricter import STUBS

RELEASES: Final = {"vllm": "vllm==0.33.0", "sglang": "sglang==0.5.23"}
ORDERS: Final = re.compile(r"(g_idx(_sort_indices)?|zero_point|_bias)$")
"""Parameters that no tensor needs to fill: orders of columns, zero points and biases of experts."""
OPEN: Final = re.compile(r"\.[kv]_scale$|^(vision_model|multi_modal_projector)\.|\.g_idx$|\.bias$")
"""Tensors that are lost without harm, or by the option of a server."""


def judged(live: Mapping[str, Any]) -> dict[str, Any]:
    """What a runtime did, for the recorded line."""
    if "dir" in live:
        return record_architectures.judged(live)
    if "refused" in live:
        why = [live["refused"].splitlines()[0][:200]]
        return {"loads": None if any(stub in why[0] for stub in STUBS) else False, "why": why}
    if live["single_pass"] is not True:
        return {"loads": False, "why": [str(live["single_pass"])[:200]]}
    lost = [name for name, places in live["tensors"].items() if isinstance(places, dict)]
    harmful = [name for name in lost if not OPEN.search(name)]
    never = [p for p in live["never_written"] if not OPTIONAL.search(p) and not ORDERS.search(p)]
    found = {"lost": harmful, "never written": never}
    why = [f"{what}: {len(names)}, {names[0]}" for what, names in found.items() if names]
    return {"loads": not why if why or not lost else None, "why": why}


def main() -> None:
    """Write the file."""
    folder, results = map(Path, sys.argv[1:3])
    lines = []
    for directory in sorted(folder.iterdir()):
        of = {}
        for runtime, release in RELEASES.items():
            path = results / f"{directory.name}.{runtime}.json"
            if path.is_file():
                of[release] = judged(json.loads(path.read_text()))
        lines.append(json.dumps({**recorded(directory), "runtimes": of}))
    (DATA / "published.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    main()
