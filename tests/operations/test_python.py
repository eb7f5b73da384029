"""The public API, as docs/python.md shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

import ckptfix
from tests.conftest import DATA

DOCS = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(
    r"```python\n(.*?)```\n+```text\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL
)
NANO_VL = DATA / "nanovl-mixed"


@pytest.fixture
def nano_vl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(NANO_VL, tmp_path / "nano-vl")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "nano-vl"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_of_the_docs_prints_what_it_shows(
    number: int, nano_vl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = EXAMPLES[number]
    if "verify" in code and find_spec("torch") is None:
        pytest.skip("no torch")
    exec(compile(code, str(DOCS), "exec"), {"ckptfix": ckptfix})  # the file is our own
    printed = capsys.readouterr()
    assert printed.out == shown
    assert printed.err == ""
    assert nano_vl.is_dir()


def test_the_documented_examples_call_every_function() -> None:
    code = "".join(example for example, _ in EXAMPLES)
    functions = [name for name in ckptfix.__all__ if name[0].islower()]
    missing = [name for name in functions if f"ckptfix.{name}(" not in code + DOCS.read_text()]
    assert missing == []


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = "import sys, ckptfix; print([m for m in sys.modules if m.startswith('ckptfix')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['ckptfix']\n"


def test_every_public_name_is_there_and_no_other() -> None:
    for name in ckptfix.__all__:
        assert getattr(ckptfix, name) is not None
    assert set(ckptfix.__all__) <= set(dir(ckptfix))
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        _ = ckptfix.chekc


EVERY_OPERATION = """
import ckptfix
answers = []
report = ckptfix.check("nano-vl", runtimes=["vllm==0.17.1"])
answers.append(str(report.runtimes[0].loads))
plan = ckptfix.plan("nano-vl", runtimes=["vllm>=0.17"])
answers.append(plan.diff().startswith("--- a/config.json"))
result = ckptfix.rewrite("nano-vl", runtimes=["vllm==0.17.1"])
answers.append(str(ckptfix.check("nano-vl", runtimes=["vllm==0.17.1"]).runtimes[0].loads))
answers.append(list(result.undo()))
ckptfix.rewrite("nano-vl", runtimes=["vllm==0.17.1"])
answers.append(list(ckptfix.undo("nano-vl")))
answers.append(ckptfix.inspect("nano-vl").tensors)
answers.append(len(ckptfix.resolve("nano-vl", ["*.in_proj"])))
if HAS_TORCH:
    answers.append(ckptfix.verify("nano-vl", device="cpu", sample=None).exit_code)
"""
HAS_TORCH = find_spec("torch") is not None
FILES = ["config.json", "hf_quant_config.json"]
ANSWERS = ["no", True, "yes", FILES, FILES, 95, 2, *([0] if HAS_TORCH else [])]


@pytest.mark.usefixtures("nano_vl")
def test_every_operation_works_in_a_thread() -> None:
    names: dict[str, object] = {"HAS_TORCH": HAS_TORCH}
    thread = threading.Thread(target=exec, args=(EVERY_OPERATION, names))
    thread.start()
    thread.join()
    assert names["answers"] == ANSWERS


def test_every_operation_works_where_stdout_and_stderr_are_closed(nano_vl: Path) -> None:
    written = nano_vl.parent / "answers"
    code = (
        f"HAS_TORCH = {HAS_TORCH}\n{EVERY_OPERATION}\n"
        f"import json, sys\nopen({str(written)!r}, 'w').write(json.dumps([sys.stdout, answers]))\n"
    )
    command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, check=False, env=os.environ).returncode == 0
    assert json.loads(written.read_text()) == [None, ANSWERS]


def test_a_rewrite_that_would_do_harm_raises_and_writes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "nano4b"
    shutil.copytree(DATA / "recipe-nano4b-nvfp4_w4a16", directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ckptfix.RewriteRefusedError, match="nothing was written") as caught:
        ckptfix.rewrite(directory, strategy="rename")
    assert caught.value.plan.plan.refusals
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_another_directory_gets_the_result(nano_vl: Path, tmp_path: Path) -> None:
    result = ckptfix.rewrite(nano_vl, runtimes=["vllm==0.17.1"], output=tmp_path / "repaired")
    assert ckptfix.check(result.directory, runtimes=["vllm==0.17.1"]).clean
    assert not ckptfix.check(nano_vl, runtimes=["vllm==0.17.1"]).clean
    with pytest.raises(ckptfix.CkptfixError, match="nothing to undo"):
        result.undo()


def test_a_failure_names_parameters_and_no_flag() -> None:
    with pytest.raises(ckptfix.CkptfixError, match=r"^`runtimes` vlm: unknown runtime"):
        ckptfix.check(NANO_VL, runtimes=["vlm"])
    with pytest.raises(ckptfix.CkptfixError, match=r"^`output` .*: is not empty"):
        ckptfix.rewrite(NANO_VL, output=NANO_VL.parent)
    checked = ckptfix.check(NANO_VL, ignore=["CKF703"])
    advice = {finding.code: finding.advice for finding in checked.findings}
    assert advice == {"CKF101": "run `rewrite()`", "CKF701": "`rewrite()` repairs it"}


def test_a_failure_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ckptfix.CkptfixError, match="no such directory"):
        ckptfix.check(tmp_path / "nowhere")
