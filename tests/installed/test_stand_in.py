"""`--runtime installed` against a small vLLM that asks and loads as the real one does."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.checkpoint import load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.installed.interpreter import environment
from ckptfix.installed.process import Process
from ckptfix.operations.check import check
from ckptfix.operations.plan import plan
from ckptfix.runtimes.loads import Answer
from tests.builders import LLAMA_CONFIG, bf16, whole_llama, write_checkpoint
from tests.conftest import Run
from tests.installed.stand_in_mistral import OWN_KEYS, OWN_NAMES

FP8: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "FP8"}
DOWN = "model.layers.0.mlp.down_proj"


def llama(directory: Path, *ignore: str, unquantized: str = "", **config: Any) -> Path:
    """A Llama in FP8; `unquantized` is a module that is stored in BF16 anyway."""
    tensors = whole_llama()
    if unquantized:
        tensors = {k: v for k, v in tensors.items() if not k.startswith(f"{unquantized}.")}
        tensors |= bf16(unquantized)
    found = {**FP8, "ignore": ["lm_head", *ignore]}
    return write_checkpoint(directory, tensors, found, extra_config={**LLAMA_CONFIG, **config})


def test_a_checkpoint_that_it_loads_whole(tmp_path: Path, spec: str) -> None:
    [answer] = check(llama(tmp_path / "m"), runtimes=[spec]).runtimes
    assert answer.loads is Answer.YES
    assert str(answer.target) == "vllm 0.33.1.dev7 (installed)"
    packed = next(m for m in answer.verdict.modules if m.name.endswith("qkv_proj"))
    assert (packed.stored, packed.resolved, len(packed.members)) == ("FP8", "FP8", 3)
    assert any("kernels are not checked" in note for note in answer.verdict.notes)


def test_a_module_that_it_builds_differently(tmp_path: Path, spec: str) -> None:
    checked = check(llama(tmp_path / "m", unquantized=DOWN), runtimes=[spec])
    [answer] = checked.runtimes
    assert answer.loads is Answer.NO
    [wrong] = answer.verdict.wrong
    assert (wrong.name, wrong.stored, wrong.resolved) == (DOWN, "unquantized", "FP8")
    assert "CKF701" in {finding.code for finding in checked.findings}


def test_the_installed_one_wins_and_the_difference_is_shown(tmp_path: Path, spec: str) -> None:
    # Every release excludes by patterns; the stand-in by whole names only.
    directory = llama(tmp_path / "m", "model.layers.0.mlp.down*", unquantized=DOWN)
    assert check(directory, runtimes=["vllm==0.33.0"]).loads is Answer.YES
    checked = check(directory, runtimes=[spec])
    assert checked.loads is Answer.NO
    notes = checked.runtimes[0].verdict.notes
    assert any(note.endswith("gives a different answer: yes") for note in notes)


def test_a_plan_is_proved_by_a_second_query(tmp_path: Path, spec: str) -> None:
    directory = llama(tmp_path / "m", "model.layers.0.mlp.down*", unquantized=DOWN)
    planned = plan(directory, runtimes=[spec])
    assert planned.portable is not None
    [before], [after] = planned.portable.before, planned.portable.after
    assert [m.name for m in before.wrong] == [DOWN]
    assert after.loads.answer is Answer.YES
    assert f'+      "{DOWN}"' in planned.diff()


def test_json_names_the_python_and_what_was_stood_in_for(
    tmp_path: Path, stand_in: str, run: Run
) -> None:
    directory = llama(tmp_path / "m")
    done = run("check", directory, "--runtime", "installed", "--json", PYTHONPATH=stand_in)
    [release] = json.loads(done.stdout)["checkpoints"][0]["runtimes"]
    assert done.returncode == 0, done.stderr
    assert release["installed"] == sys.executable
    assert release["loads"] == "yes"
    assert release["notes"]


def test_an_error_of_the_runtime_is_one_line_with_its_place(tmp_path: Path, spec: str) -> None:
    tensors = whole_llama()
    found = {**FP8, "quant_algo": "MIXED_PRECISION"}
    write_checkpoint(tmp_path / "m", tensors, found, extra_config=LLAMA_CONFIG)
    [answer] = check(tmp_path / "m", runtimes=[spec]).runtimes
    assert answer.verdict.refused
    problem = answer.verdict.problem
    assert "ValueError: stand-in: MIXED_PRECISION is not supported, at vllm/__init__.py:" in problem
    log = problem.partition("(log: ")[2].rstrip(")")
    assert "stand-in: MIXED_PRECISION" in Path(log).read_text("utf-8")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"stand_in_imports": True}, "a package is missing: ModuleNotFoundError"),
        (
            {"stand_in_class": "import a_package_that_nobody_has"},
            "a package is missing: ModuleNotFoundError: No module named 'a_package_that_nob",
        ),
        (
            {"stand_in_class": "raise RuntimeError('no such operator')"},
            "it cannot be built here: RuntimeError: no such operator",
        ),
        (
            {"stand_in_wraps": True},
            "a package is missing: RuntimeError: the class does not import",
        ),
        ({"stand_in_dies": True}, "it gave no answer: it died: signal 6"),
        (
            {"stand_in_connects": "192.0.2.1"},
            "PermissionError: ckptfix queries it without a network: 192.0.2.1",
        ),
    ],
)
def test_what_keeps_it_from_answering_is_no_verdict(
    config: dict[str, Any], why: str, tmp_path: Path, spec: str
) -> None:
    [answer] = check(llama(tmp_path / "m", **config), runtimes=[spec]).runtimes
    assert answer.loads is Answer.UNKNOWN
    assert why in answer.reasons[0]


def test_it_gets_the_metadata_and_no_other_file(tmp_path: Path, spec: str) -> None:
    directory = llama(tmp_path / "m", stand_in_lists=True)
    (directory / "modeling_llama.py").write_text("raise SystemExit\n")
    [answer] = check(directory, runtimes=[spec]).runtimes
    assert "the directory has ['config.json']" in answer.verdict.problem


@pytest.mark.parametrize("lost", ["", "layers.0.attention.wo.weight"])
def test_mistrals_own_format(lost: str, tmp_path: Path, spec: str) -> None:
    directory = tmp_path / "m"
    theirs = {ours.rpartition(".")[2]: own for own, ours in OWN_NAMES.items()}
    tensors = {
        ".".join(theirs.get(part, part) for part in name.removeprefix("model.").split(".")): tensor
        for name, tensor in whole_llama().items()
    }
    write_checkpoint(directory, {n: t for n, t in tensors.items() if n != lost}, {})
    for file in directory.glob("*.json"):
        file.unlink()
    (directory / "model.safetensors").rename(directory / "consolidated.safetensors")
    params = {its: LLAMA_CONFIG[key] for key, its in OWN_KEYS.items()}
    params |= {"n_heads": 2, "n_kv_heads": 2, "head_dim": 16, "vocab_size": 32, "norm_eps": 1e-5}
    params["quantization_config"] = {**FP8, "ignore": ["lm_head"]}
    (directory / "params.json").write_text(json.dumps(params))
    [answer] = check(directory, runtimes=[spec]).runtimes
    assert answer.loads is (Answer.NO if lost else Answer.YES), answer.reasons
    assert ("o_proj" in " ".join(answer.reasons)) is bool(lost)


def test_one_that_takes_too_long_and_the_next_question(
    tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", stand_in)
    process = Process("vllm", sys.executable, ask_seconds=1)
    directory = llama(tmp_path / "slow", stand_in_sleeps=60)
    slow = load_checkpoint(DirectorySource(directory), "slow")
    assert process.ask(slow).failed == "no answer within 1 s"
    process.ask_seconds = 60
    good = load_checkpoint(DirectorySource(llama(tmp_path / "good")), "good")
    assert process.ask(good).class_name == "LlamaForCausalLM"
    process.close()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vllm@/no/such/python", "/no/such/python: no Python there"),
        (f"sglang@{sys.executable}", "sglang is not installed there"),
    ],
)
def test_a_python_that_cannot_be_queried_is_one_sentence(
    spec: str, message: str, tmp_path: Path, run: Run
) -> None:
    done = run("check", llama(tmp_path / "m"), "--runtime", spec)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} & environment().keys()
