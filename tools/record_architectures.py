"""Show the exports of `architecture_exports.py` to the real runtimes, and record what they did.

    tools/record_architectures.py FOLDER [NAME]

Each checkpoint of FOLDER that `check` answers with yes or no is loaded by vLLM 0.33.0 and SGLang
0.5.23 of `../shared/oracle`, as `check` claims to know what happens then. Every line of
`tests/data/NAME.jsonl.gz`, `architectures` without NAME, is a checkpoint: its metadata, the header
of its weights, and for each release whether it loads and why not, or null where the stubs of the
oracle stopped it. FOLDER keeps the answers of the runtimes, so that a run that was cut off goes on
where it stopped.
"""

import gzip
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from truth_loop.answers import ask
from truth_loop.case import header_text
from truth_loop.judges import JUDGES, batch
from truth_loop.stricter import STUBS

DATA: Final = Path(__file__).resolve().parents[1] / "tests" / "data"
OPTIONAL: Final = re.compile(
    r"((?<!weight)(?<!w13)(?<!w2)_scale|ls1|ls2|w\d+_blockscale_swizzled)$|\.attn\.[qkv]_zero_point$"
)
"""Parameters that have a value of their own: scales and zero points of a cache, scales of inputs
that a weight-only format does not store, and of layers."""
UNREAD: Final = {"Gemma4ForCausalLM": re.compile(r"\.self_attn\.k_norm\.weight$")}
"""Class -> parameters that it builds and does not read: those of layers that share the keys of an
earlier one (sglang 0.5.23, sglang/srt/models/gemma4_causal.py `is_kv_shared_layer`)."""
UNUSED: Final = re.compile(r"rotary_emb\.(inv_freq|cos_cached|sin_cached)$|^mtp\.")
"""Tensors that no runtime needs, and draft layers, which only a draft model loads."""
CACHE: Final = re.compile(r"\.[kv]_scale$")
"""Scales of an FP8 cache. Where SGLang drops them it uses 1.0, which `../shared/cases` calls a loss
and `../shared/oracle/published` harmless."""
OWN: Final = (*STUBS, "Please check the logs", "dummy base class", "has no attribute 'default'")
"""Parts of errors that are the oracle's own."""
APART: Final = "routed-expert tensors were not loaded"
"""What Laguna says of every tensor that the oracle loads without the others."""


def why_not(raw: Mapping[str, Any]) -> list[str]:
    """Why a runtime does not load a checkpoint, or loses something; empty where it loads."""
    if raw.get("crash") is not None:
        return [f"crash {raw['crash']}"]
    stopped = raw.get("build_error") or raw.get("run_error")
    if not stopped and not raw["single"]["ok"]:
        stopped = raw["single"]["error"]
    if stopped:
        return [str(stopped).splitlines()[0][:200]]
    unused = [name for name in raw["unused"] if not UNUSED.search(name) and not CACHE.search(name)]
    harmless = (OPTIONAL, *filter(None, [UNREAD.get(raw.get("model_class", ""))]))
    never = [name for name in raw["never"] if not any(one.search(name) for one in harmless)]
    found = {"unused": unused, "never written": never, "fails": list(raw["errors"])}
    return [f"{what}: {len(names)}, {names[0]}" for what, names in found.items() if names]


def judged(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a runtime did, for the recorded line."""
    why = why_not(raw)
    is_open = any(part in reason for reason in why for part in (*OWN, "crash"))
    is_open |= not why and any(map(CACHE.search, raw["unused"]))
    is_open |= any(APART in error for error in raw.get("errors", {}).values())
    return {"loads": None if is_open else not why, "why": why}


def recorded(directory: Path) -> dict[str, Any]:
    """A checkpoint as a line, without what runtimes did."""
    shards = sorted(directory.glob("*.safetensors"))
    files = {
        name: (directory / name).read_text()
        for name in ("config.json", "hf_quant_config.json")
        if (directory / name).exists()
    }
    headers = {path.name: header_text(path) for path in shards}
    return {"slug": directory.name, "files": files, "shards": headers}


def main() -> None:
    """Ask, show, record."""
    folder = Path(sys.argv[1])
    name = sys.argv[2] if len(sys.argv) > 2 else "architectures"
    work = folder.with_name(folder.name + "-judged")
    work.mkdir(exist_ok=True)
    answers = {path: ask(path) for path in sorted(folder.iterdir())}
    done: dict[Path, dict[str, Any]] = {}
    for judge in JUDGES:
        known = [path for path, said in answers.items() if said[judge.release].answer != "unknown"]
        registered = [path for path in known if "register" not in str(answers[path][judge.release])]
        out = batch(registered, work, name, judge)
        for raw in map(json.loads, out.read_text(encoding="utf-8").splitlines()):
            done.setdefault(Path(raw["dir"]), {})[judge.release] = judged(raw)
    lines = (json.dumps({**recorded(path), "runtimes": of}) for path, of in sorted(done.items()))
    (DATA / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    main()
