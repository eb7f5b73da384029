"""Condense what the oracle's batches found out about exports of other quantizers than ModelOpt.

    tools/record_exports.py SPEC BATCH.jsonl OUT.jsonl.gz

BATCH is the output of ../shared/oracle/truth/vllm_batch.py or sglang_batch.py over the exports,
SPEC the release, such as sglang==0.5.23. A line of OUT is what tests/runtimes/test_methods.py
holds the answers against: the export, whether the release loads it with nothing lost, or null
where the stubs of the oracle stopped it, and the quantization method of every module.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any, Final

STUBS: Final = (
    "_Mock", "cannot pickle", "Please install", "not compiled with CUDA", "image processor",
    "No module named", "No valid attention backend",
)  # fmt: skip
"""Parts of errors that are the oracle's own."""
OPTIONAL: Final = (
    "k_scale", "v_scale", "q_scale", "prob_scale", "zero_point", "g_idx",
    "experts.w13_qzeros", "experts.w2_qzeros",
)  # fmt: skip
"""Parts of names of parameters that need not be stored: those of caches and of an order have
defaults, and zero points of experts are read for asymmetric codes only."""


def condensed(row: dict[str, Any], spec: str) -> dict[str, Any]:
    """One export."""
    error = row.get("build_error") or row.get("run_error") or ""
    single = row.get("single") or {}
    error = error or single.get("error") or next(iter((row.get("errors") or {}).values()), "")
    never = [p if isinstance(p, str) else p["param"] for p in row.get("never") or ()]
    lost = [name for name in never if not any(part in name for part in OPTIONAL)]
    # A code that is cast into a float weight: its scale is left behind.
    lost += [name for name, *dtypes in row.get("cast") or () if is_code_to_float(name, *dtypes)]
    # Its config class needs a field that this export does not have: nothing of quantization.
    # A model class that does not import there is replaced by that of the Transformers backend.
    is_stub = str(row.get("model_class", "")).startswith("Transformers")
    is_stub |= any(part in error for part in STUBS) or "object has no attribute" in error
    return {
        "checkpoint": Path(row["dir"]).name,
        "runtime": spec,
        "loads": None if is_stub else not error and not lost,
        "error": error.splitlines()[0][:160] if error else "",
        "modules": {name: built[0] for name, built in (row.get("mods") or {}).items() if built[0]},
    }


def is_code_to_float(name: str, source: str, target: str) -> bool:
    """Whether a weight is cast from a code into a float of more than a byte."""
    codes, floats = ("float8", "int8"), ("bfloat16", "float16", "float32")
    is_code = any(code in source for code in codes)
    return name.endswith(".weight") and is_code and any(target.endswith(f) for f in floats)


def main() -> None:
    """Read, condense, write."""
    spec, batch, out = sys.argv[1:]
    rows = map(json.loads, Path(batch).read_text(encoding="utf-8").splitlines())
    lines = (json.dumps(condensed(row, spec)) + "\n" for row in rows)
    Path(out).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    main()
