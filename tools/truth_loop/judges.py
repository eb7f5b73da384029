"""The real runtimes of `../shared/oracle` as judges of checkpoints on disk.

Every batch imports a runtime once and forks for each checkpoint; what a judge answered is kept next
to the list, so that a run that was cut off goes on where it stopped.
"""

import gzip
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from truth_loop.case import Case
from truth_loop.stricter import WEIGHT, Judged, stricter

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


def unwritten_by(work: Path, *, name: str, runtime: Judge) -> Mapping[str, Sequence[str]]:
    """Id of a case -> the weights that nothing was written to, of a batch that was judged."""
    return {
        Path(raw["dir"]).name: [each for each in raw.get("never", ()) if WEIGHT.search(each)]
        for raw in _raw(work / f"{name}-{runtime.release}.jsonl")
    }


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
