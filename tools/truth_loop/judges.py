"""The real runtimes of `../shared/oracle` as judges of checkpoints on disk.

Every batch imports a runtime once and forks for each checkpoint; what a judge answered is kept next
to the list, so that a run that was cut off goes on where it stopped.
"""

import gzip
import json
import os
import re
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from truth_loop.case import Case

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = ROOT.parent / "shared"
FIXTURES: Final = SHARED / "fixtures"
EXPORTS: Final = SHARED / "quantizers" / "fixtures"
"""Of other quantizers than ModelOpt."""
SMALL: Final = Path(tempfile.gettempdir()) / "ckptfix-truth-small"
"""Of `shrunk.py`; nothing of it is recorded."""
SCRIPTS: Final = SHARED / "oracle" / "truth"
HOME: Final = Path(os.environ.get("ORACLE_HOME", Path.home() / ".cache" / "ckptfix-oracle"))
PYTHON: Final = HOME / "venv" / "bin" / "python"


@dataclass(frozen=True)
class Judge:
    """One runtime of the oracle."""

    release: str
    """As `vllm==0.33.0`."""
    batch: str
    """Script that loads the checkpoints of a list; in the oracle, unless its path is absolute."""
    recorder: str
    """Script that reports whether each loaded."""
    environment: Mapping[str, str]


STUBS: Final = (
    "Torch not compiled with CUDA", "_Mock", "No module named", "image processor", "Please install",
    "No MXFP4 MoE backend",
)  # fmt: skip
"""Parts of errors that are the oracle's own."""
KERNELS: Final = (frozenset({"AutoAWQLinearMethod", "AutoAWQMarlinLinearMethod"}),)
"""Classes that read the same tensors in the same way, for different kernels (vllm 0.33.0,
vllm/model_executor/layers/quantization/auto_awq.py)."""
JUDGES: Final = (
    Judge("vllm==0.33.0", str(Path(__file__).with_name("vllm_batch.py")), "record.py", {}),
    Judge(
        "sglang==0.5.23",
        "sglang_batch.py",
        "record_sglang.py",
        {
            "ORACLE_TRANSFORMERS": str(HOME / "transformers" / "5.19.0"),
            "ORACLE_SGLANG_ROOT": str(HOME / "sglang"),
        },
    ),
)


@dataclass(frozen=True)
class Judged:
    """What a runtime did with a case."""

    loads: bool | None
    """None: the fixture fails in the same way, so nothing can be distinguished."""
    why: tuple[str, ...]


def home_of(origin: str) -> Path:
    """The folder of a fixture."""
    return next((f for f in (FIXTURES, EXPORTS) if (f / origin).is_dir()), SMALL)


class JudgeError(Exception):
    """A script of the oracle failed, and how."""


def judge(
    cases: Sequence[tuple[Case, Path]], work: Path, *, name: str, runtime: Judge
) -> Mapping[str, Judged]:
    """Id of a case -> what one runtime does with it.

    Args:
        cases: each with the directory that it was written to, whose name is its id.
        work: where lists and results are kept.
        name: of this batch, for its files.
        runtime: who is asked.

    Raises:
        JudgeError: a script failed.
    """
    origins = sorted({case.origin for case, _ in cases})
    plain = batch([home_of(origin) / origin for origin in origins], work, "fixtures", runtime)
    done = batch([path for _, path in cases], work, name, runtime)
    meta = work / f"{name}.meta"
    lines = [{"dir": str(path), "from": case.origin, "mut": case.how} for case, path in cases]
    meta.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = work / f"{name}-{runtime.release}.gz"
    _run([SCRIPTS / runtime.recorder, meta, plain, done, out], work, runtime)
    recorded = _lines(out)
    before = {Path(raw["dir"]).name: raw for raw in _raw(plain)}
    after = {Path(raw["dir"]).name: raw for raw in _raw(done)}
    return {
        case.id: stricter(
            Judged(line["loads"], tuple(line["why"])), before[case.origin], after[case.id]
        )
        for case, path in cases
        if (line := recorded.get(path.name)) is not None and not _timed_out(after[case.id])
    }


def built_by(work: Path, *, name: str, runtime: Judge) -> Mapping[str, Mapping[str, str]]:
    """Id of a case -> module -> the class of its quant method, of a batch that was judged.

    SGLang's modules are there under the names that they look up, too.
    """
    found: dict[str, dict[str, str]] = {}
    for raw in _raw(work / f"{name}-{runtime.release}.jsonl"):
        modules = found.setdefault(Path(raw["dir"]).name, {})
        for module, (method, *more) in raw.get("mods", {}).items():
            names = (module, *more[:1]) if runtime.release.startswith("sglang") else (module,)
            modules |= {each: method for each in names if each and method}
    return found


def stricter(judged: Judged, before: Mapping[str, Any], after: Mapping[str, Any]) -> Judged:
    """A verdict of the recorders, and no where less is written than with the untouched fixture.

    It is open where the oracle's own stubs stopped the runtime, and parameters that the untouched
    fixture leaves out too, as scales of a KV cache, are not missed.

    They leave aside what is written in part or never where a whole checkpoint may do so too: expert
    banks that SGLang pads, input scales that a weight-only format does not store. And a tensor that
    is copied into several places of its parameter fills it, but not as it should.

    Args:
        judged: what the recorder says.
        before: what the runtime did with the untouched fixture.
        after: what it did with the case.
    """
    if any(stub in why for why in judged.why for stub in STUBS):
        return Judged(None, judged.why)
    if judged.loads is False and (
        _misses_nothing(judged.why, before, after)
        or _only_kernels_differ(judged.why, before, after)
        or _casts_as_before(judged.why, before, after)
    ):
        # Where the untouched fixture lacks weights, it does not load either: only a case that gets
        # every tensor, and leaves no weight out, is known to be better.
        lacking = any(_WEIGHT.search(name) for name in before["never"])
        whole = not after["unused"] and not any(_WEIGHT.search(name) for name in after["never"])
        judged = Judged(True if whole or not lacking else None, ())
    if not judged.loads or "never" not in before:
        return judged
    never = [name for name in after["never"] if name not in before["never"] and not _of_cache(name)]
    less = [
        name
        for name, (written, whole) in after["partial"].items()
        if written < before["partial"].get(name, (whole, whole))[0]
    ]
    spread = [name for name in after["bcast"] if name not in before["bcast"]]
    why = [f"never: {len(never)}, {never[0]}"] if never else []
    why += [f"broadcast: {len(spread)}, {spread[0]}"] if spread else []
    why += [f"partly written: {len(less)}, {less[0]}"] if less else []
    cast = [each for each in _cast_codes(after) if each not in _cast_codes(before)]
    why += [f"codes cast: {len(cast)}, {cast[0]}"] if cast else []
    return Judged(False, tuple(why)) if why else judged


def _misses_nothing(
    why: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether all that a recorder complains about is so with the untouched fixture too.

    The order of GPTQ (g_idx) is not missed either: a release that has no parameter for it does not
    need it. Nor are scales of a KV cache, which the recorders leave aside, and placeholders.
    """
    if "never" not in before or "never" not in after:
        return False
    never = {name for name in after["never"] if not _of_cache(name)} - set(before["never"])
    unused = {name for name in after["unused"] if not name.endswith(".g_idx")}
    complaints = {reason.partition(":")[0] for reason in why}
    return not never and unused <= set(before["unused"]) and complaints <= {"never", "unused"}


def _only_kernels_differ(
    why: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether all that a recorder complains about is another class for the same tensors."""
    if {reason.partition(":")[0] for reason in why} != {"other quant method"}:
        return False
    pairs = [
        {before["mods"][name][0], built[0]}
        for name, built in after["mods"].items()
        if name in before["mods"] and before["mods"][name] != built
    ]
    return all(any(pair <= same for same in KERNELS) for pair in pairs)


def _casts_as_before(
    why: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether all that a recorder complains about is a cast of a tensor that was renamed.

    As many casts between the same dtypes are then gone: A_log of NemotronH is BF16 in checkpoints
    and F32 in both runtimes, under every name. Casts of codes are never the same; F32 keeps scales.
    """
    if {reason.partition(":")[0] for reason in why} != {"cast"}:
        return False
    old, new = ({tuple(each) for each in raw["cast"]} for raw in (before, after))
    new = {each for each in new if not (_SCALE.search(each[0]) and each[2] == "float32")}
    gone, come = (Counter(each[1:] for each in casts) for casts in (old - new, new - old))
    return come <= gone and not any(stored.startswith(_CODES) for stored, _ in come)


def _cast_codes(raw: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """(tensor, dtype, dtype of its parameter) of codes that a copy makes other numbers of.

    sglang 0.5.23 fills an FP8 weight, which is E4M3, with INT8 and E5M2 codes, and says nothing.
    """
    casts = (tuple(each) for each in raw.get("cast", ()))
    return [
        each
        for each in casts
        if each[2] != "float32"
        and (
            each[1] in ("int8", "float8_e5m2")
            or (_SCALE.search(each[0]) and each[2].startswith(_CODES))
        )
    ]


_CODES: Final = ("int8", "uint8", "float8")
_WEIGHT: Final = re.compile(r"weight(_scale_inv)?$")
_SCALE: Final = re.compile(r"_scale(_2)?$|\.e_score_correction_bias$")
_KV: Final = re.compile(r"\.(k|v|q|prob)_scale$")
_PLACEHOLDER: Final = re.compile(r"\.attn\.[kvq]_zero_point$")
"""vLLM 0.33.0 makes them for every attention layer of a compressed-tensors checkpoint, and deletes
them after loading without a look (vllm/model_executor/layers/quantization/compressed_tensors/
compressed_tensors.py, `CompressedTensorsKVCacheMethod`)."""


def _of_cache(name: str) -> bool:
    """True for a parameter of a KV cache that need not be stored."""
    return bool(_KV.search(name) or _PLACEHOLDER.search(name))


def _timed_out(raw: Mapping[str, Any]) -> bool:
    """The batch gave up on it, which on a busy machine means nothing for the checkpoint."""
    return bool(raw.get("crash") == signal.SIGALRM)


def _raw(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _lines(path: Path) -> Mapping[str, dict[str, Any]]:

    with gzip.open(path, "rt") as file:
        return {line["id"]: line for line in map(json.loads, file)}


def batch(directories: Sequence[Path], work: Path, name: str, runtime: Judge) -> Path:
    """The file of what a runtime did with each directory, a JSON object a line.

    Raises:
        JudgeError: a script failed.
    """
    listed = work / f"{name}.list"
    listed.write_text("".join(f"{directory}\n" for directory in directories))
    out = work / f"{name}-{runtime.release}.jsonl"
    if out.exists():  # those that were cut off are run again
        kept = [json.dumps(raw) + "\n" for raw in _raw(out) if not _timed_out(raw)]
        out.write_text("".join(kept))
    _run([SCRIPTS / runtime.batch, listed, out], work, runtime)
    return out


def _run(command: Sequence[Path], work: Path, runtime: Judge) -> None:
    log = work / f"{command[0].stem}.log"
    with log.open("a") as file:
        done = subprocess.run(
            [PYTHON, *command],
            env=os.environ | runtime.environment,
            stdout=file,
            stderr=file,
            check=False,
        )
    if done.returncode:
        raise JudgeError(f"{command[0].name} failed, see {log}")
