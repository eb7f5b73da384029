"""The cases of `../shared/cases` as one small file, for where that folder is not: no weights.

    PYTHONPATH=tools python -m tests.cases.packed    # makes it again from ../shared/cases

What a case comes to is decided by JSON and headers, so a shard file keeps its header and is filled
with zeros. Cases that no runtime judged are left out.
"""

import gzip
import json
from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from ckptfix.checkpoint.safetensors import DTYPE_BITS
from tests.conftest import DATA, SHARED
from truth_loop.case import header_text

PACKED = DATA / "cases.jsonl.gz"
SHARED_CASES = SHARED / "cases"


def described() -> dict[str, dict[str, Any]]:
    """Slug -> the case, from `../shared` where that is there."""
    if SHARED_CASES.is_dir():
        cases = json.loads((SHARED_CASES / "cases.json").read_text())
        return {case["slug"]: case for case in cases if _is_judged(case)}
    return packed()


@cache
def packed() -> dict[str, dict[str, Any]]:
    """Slug -> the case, with its files."""
    lines = gzip.decompress(PACKED.read_bytes()).decode().splitlines()
    return {case["slug"]: case for case in map(json.loads, lines)}


def _is_judged(case: dict[str, Any]) -> bool:
    return any(judged["loads"] is not None for judged in case["runtimes"].values())


def unpack(slug: str, directory: Path) -> Path:
    """Write a case as files again."""
    return write(packed()[slug], directory)


def write(case: dict[str, Any], directory: Path) -> Path:
    """Write the files that a line holds; weights are a hole of zeros."""
    directory.mkdir(parents=True)
    for name, text in case["files"].items():
        (directory / name).write_text(text)
    for name, (header, length) in case["shards"].items():
        raw = header.encode()
        with (directory / name).open("wb") as file:
            file.write(len(raw).to_bytes(8, "little") + raw)
            file.truncate(file.tell() + length)
    return directory


def laid_out(header: Mapping[str, Any], shapes: Mapping[str, list[int]]) -> tuple[str, int]:
    """The header with other shapes, tensors one after the other, and how long they are."""
    end, out = 0, {}
    for name, entry in header.items():
        if name == "__metadata__":
            out[name] = entry
            continue
        shape = shapes.get(name, entry["shape"])
        start, end = end, end + prod(shape) * DTYPE_BITS[entry["dtype"]] // 8
        out[name] = {**entry, "shape": shape, "data_offsets": [start, end]}
    return json.dumps(out), end


def pack() -> None:
    """Make the file again."""
    lines = []
    for slug, case in described().items():
        directory = SHARED_CASES / slug
        kept = {key: case[key] for key in ("slug", "did", "runtimes")}
        files = {p.name: p.read_text() for p in sorted(directory.glob("*.json"))}
        shards = {p.name: header_text(p) for p in sorted(directory.glob("*.safetensors"))}
        lines.append(json.dumps({**kept, "files": files, "shards": shards}))
    PACKED.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    pack()
