"""What vLLM does with other quantizers' metadata, against its own answers."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from ckptfix.runtimes.common.compressed import arguments, refusal
from tests.conftest import DATA, SHARED

COPIES = DATA / "quantizers"
EXPORTS = SHARED / "quantizers" / "fixtures"
LOOKUPS = SHARED / "quantizers" / "conformance" / "lookup.jsonl.gz"
TOOL = Path(__file__).parents[2] / "tools" / "conformance.py"
RELEASE = "vllm==0.33.0"


def _answers() -> list[Any]:
    """What the real release did with each export: id -> directory and record."""
    if not EXPORTS.is_dir():
        lines = (COPIES / "vllm-0.33.0.jsonl").read_text(encoding="utf-8").splitlines()
        folder = COPIES
    else:
        packed = (SHARED / "quantizers" / "vllm-0.33.0.jsonl.gz").read_bytes()
        lines, folder = gzip.decompress(packed).decode().splitlines(), EXPORTS
    records = map(json.loads, lines)
    return [pytest.param(folder / r["checkpoint"], r, id=r["checkpoint"]) for r in records]


@pytest.mark.parametrize(
    "file",
    [
        *(COPIES / f"{name}.jsonl.gz" for name in ("lookups", "sglang_lookups", "older_lookups")),
        LOOKUPS,
    ],
)
def test_every_lookup_agrees_with_the_real_functions(file: Path) -> None:
    if not file.exists():
        pytest.skip("the answers lie in ../shared")
    done = subprocess.run([sys.executable, TOOL, file], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    with gzip.open(file, "rt", encoding="utf-8") as cases:
        number = sum(len(json.loads(case)["expect"]) for case in cases)
    assert f"{number} of {number} lookups agree" in done.stdout


def test_arguments_are_refused_as_by_compressed_tensors() -> None:
    """As its 0.17.0, which vLLM 0.33.0 requires, did with arguments made at random."""
    for line in (COPIES / "arguments.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        made = arguments(case["arguments"])
        assert made is not None
        assert (not refusal(made)) == case["accepted"], case


@pytest.mark.parametrize(("directory", "record"), _answers())
def test_the_answer_is_that_of_the_release(directory: Path, record: dict[str, Any]) -> None:
    checked = check(directory, runtimes=[RELEASE])
    (answer,) = checked.runtimes
    if record["loads"] is not None:
        assert answer.loads == ("yes" if record["loads"] else "no"), answer.reasons
    classes = {name: built[0] if isinstance(built, list) else built
               for name, built in record["modules"].items()}  # fmt: skip
    for module in checked.verdicts[0].modules:
        built = classes.get(module.name) or classes.get(f"{module.name}.routed_experts")
        if built is not None and module.resolved != "error":
            assert built.startswith("Unquantized") == (module.resolved == "unquantized"), module


def _recorded() -> list[Any]:
    """What other releases did with each export, by tools/record_exports.py."""
    found = []
    for file in sorted(COPIES.glob("*-*.jsonl.gz")):
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            record = json.loads(line)
            folders = [f for f in (EXPORTS, COPIES) if (f / record["checkpoint"]).is_dir()]
            if folders and record["loads"] is not None:
                name = f"{record['runtime']}-{record['checkpoint']}"
                found.append(pytest.param(folders[0] / record["checkpoint"], record, id=name))
    return found


CONFIG_CHANGED = {"ct-nemotronh-fp8-dynamic", "ct-nemotronh-mixed"}
"""SGLang refuses their layers_block_type; the oracle changes it before it asks."""


@pytest.mark.parametrize(("directory", "record"), _recorded())
def test_other_releases_are_answered_as_they_do(directory: Path, record: dict[str, Any]) -> None:
    checked = check(directory, runtimes=[record["runtime"]])
    (answer,) = checked.runtimes
    if directory.name not in CONFIG_CHANGED:
        seen = (record["error"], answer.reasons)
        assert answer.loads in ("unknown", "yes" if record["loads"] else "no"), seen
    for module in checked.verdicts[0].modules:
        built = record["modules"].get(module.name)
        if built is not None and module.resolved != "error":
            assert built.startswith("Unquantized") == (module.resolved == "unquantized"), module


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="the exports lie in ../shared")
def test_most_exports_have_an_answer_in_sglang() -> None:
    """An answer of `unknown` agrees with everything."""
    known = 0
    records = [param.values for param in _recorded()]
    for directory, record in records:
        if str(record["runtime"]).startswith("sglang"):
            (answer,) = check(directory, runtimes=[record["runtime"]]).runtimes
            known += answer.loads != "unknown"
    assert known >= 0.8 * sum(str(r["runtime"]).startswith("sglang") for _, r in records)


def _broken() -> list[Any]:
    """Metadata of exports broken at random, and whether the real release loaded them."""
    file = COPIES / "broken.jsonl.gz"
    cases = map(json.loads, gzip.decompress(file.read_bytes()).decode().splitlines())
    folder = EXPORTS if EXPORTS.is_dir() else COPIES
    return [
        pytest.param(folder / case["from"], case, id=f"{number}-{case['from']}")
        for number, case in enumerate(cases)
        if (folder / case["from"]).is_dir()
    ]


@pytest.mark.parametrize(("origin", "case"), _broken())
def test_broken_metadata_is_handled_as_by_the_release(
    tmp_path: Path, origin: Path, case: dict[str, Any]
) -> None:
    shutil.copytree(origin, tmp_path / "model")
    (tmp_path / "model").chmod(0o755)
    for own in ("quantization_config.json", "quantize_config.json"):
        (tmp_path / "model" / own).unlink(missing_ok=True)
    config = tmp_path / "model" / "config.json"
    config.chmod(0o644)
    config.write_text(json.dumps(case["config"]), encoding="utf-8")
    (answer,) = check(tmp_path / "model", runtimes=[RELEASE]).runtimes
    message = f"{case['how']}: {case['why']}"
    assert answer.loads in ("unknown", "yes" if case["loads"] else "no"), (message, answer.reasons)
