"""The public API, as docs/python.md shows it."""

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


def test_all_of_it_works_in_a_thread(nano_vl: Path) -> None:
    seen: list[object] = []

    def work() -> None:
        seen.append(ckptfix.check(nano_vl, runtimes=["vllm==0.17.1"]).runtimes[0].loads)
        seen.append(ckptfix.plan(nano_vl).changes_something)
        seen.append(ckptfix.rewrite(nano_vl).plan.plan.changes)
        seen.append(ckptfix.check(nano_vl, runtimes=["vllm==0.17.1"]).runtimes[0].loads)
        seen.append(ckptfix.inspect(nano_vl).tensors)
        seen.append(len(ckptfix.resolve(nano_vl, ["*in_proj"])))
        seen.append(ckptfix.undo(nano_vl))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["no", True, 38, "yes", 95, 2, ("config.json", "hf_quant_config.json")]


def test_all_of_it_works_where_stdout_and_stderr_are_closed(nano_vl: Path) -> None:
    answer = nano_vl.parent / "answer"
    code = (
        "import sys, ckptfix\n"
        f"result = ckptfix.rewrite({str(nano_vl)!r}, runtimes=['vllm==0.17.1'])\n"
        f"report = ckptfix.check({str(nano_vl)!r}, runtimes=['vllm==0.17.1'])\n"
        f"open({str(answer)!r}, 'w').write(f'{{sys.stdout}} {{report.runtimes[0].loads}}')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command], check=False, env=os.environ
    )
    assert done.returncode == 0
    assert answer.read_text() == "None yes"


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
