"""Write the checkpoints, and record what the real vLLM did with them.

    PYTHONPATH=tools python -m mistral_cases FOLDER [--record]

`tests/data/mistral.jsonl.gz` has a line for each checkpoint: its JSON files, the headers of its
shard files, and whether a release loads it and why not. SGLang decides by the name of the folder,
which the oracle does not keep, so it is not asked.
"""

import argparse
import gzip
import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from mistral_cases.cases import Made, every
from record_architectures import OWN
from truth_loop.case import BITS, header_text
from truth_loop.judges import JUDGES, batch

OPTIONAL: Final = re.compile(r"\.(?:[kvq]|prob)_(?:scale|zero_point)$")
"""Parameters of an attention layer that have a value of their own."""
UNUSED: Final = re.compile(r"^vision_encoder\..*_fake_quantizer\.qscale_act$")
"""Tensors that no runtime needs: Mistral Large 3 in NVFP4 has them (sglang 0.5.23,
sglang/srt/models/pixtral.py)."""
OUT: Final = Path(__file__).resolve().parents[2] / "tests" / "data" / "mistral.jsonl.gz"


def write(made: Made, folder: Path) -> Path:
    """The checkpoint as files; weights are a hole of zeros."""
    directory = folder / made.slug
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in made.files.items():
        (directory / name).write_text(text, "utf-8")
    for file, tensors in made.shards.items():
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        at = 0
        for name, (dtype, shape) in tensors.items():
            end = at + BITS[dtype] * prod(shape) // 8
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
            at = end
        raw = json.dumps(header).encode()
        with (directory / file).open("wb") as out:
            out.write(len(raw).to_bytes(8, "little") + raw)
            out.truncate(out.tell() + at)
    return directory


def verdict(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a runtime loads a checkpoint, and why not; null where the oracle's stubs stop it."""
    why = _why_not(raw)
    is_open = any(part in reason for reason in why for part in (*OWN, "crash"))
    return {"loads": None if is_open else not why, "why": why}


def _why_not(raw: Mapping[str, Any]) -> list[str]:
    if raw.get("crash") is not None:
        return [f"crash {raw['crash']}"]
    stopped = raw.get("build_error") or raw.get("run_error") or raw["single"].get("error")
    if stopped:
        return [_first_line(str(stopped))]
    # A tensor that is refused alone, but not among the others, is skipped: a tied head.
    unused = [name for name in raw["unused"] if not UNUSED.search(name)]
    never = [name for name in raw["never"] if not OPTIONAL.search(name)]
    found = {
        "unused": unused,
        "never written": never,
        "partly written": list(raw["partial"]),
    }
    return [f"{what}: {len(names)}, {names[0]}" for what, names in found.items() if names]


def _first_line(error: str) -> str:
    """Of a ValidationError, the line that says what it is about."""
    lines = [line.strip() for line in error.splitlines()]
    return next(
        (line for line in lines[1:] if "ssertion" in line or "Value error" in line), lines[0]
    )[:200]


def record(cases: dict[str, Made], folders: list[Path], work: Path) -> None:
    """Show them to vLLM; a run that was cut off goes on where it was."""
    judge = next(judge for judge in JUDGES if judge.release.startswith("vllm"))
    done = map(json.loads, batch(folders, work, "mistral", judge).read_text("utf-8").splitlines())
    runtimes = {Path(raw["dir"]).name: {judge.release: verdict(raw)} for raw in done}
    lines = []
    for folder in folders:
        case = cases[folder.name]
        shards = {p.name: header_text(p) for p in sorted(folder.glob("*.safetensors"))}
        did = {"slug": case.slug, "did": case.did, "runtimes": runtimes[case.slug]}
        lines.append(json.dumps({**did, "files": dict(case.files), "shards": shards}))
    OUT.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def main() -> None:
    """As above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--record", action="store_true", help="ask the oracle too")
    arguments = parser.parse_args()
    cases = {made.slug: made for made in every()}
    folders = [write(made, arguments.folder / "checkpoints") for made in cases.values()]
    print(f"{len(folders)} checkpoints")
    if arguments.record:
        record(cases, folders, arguments.folder)


if __name__ == "__main__":
    main()
