"""The steps of action.yml, run as a runner runs them, in a scratch repository."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import fp8, mixed, write_checkpoint
from tests.conftest import DATA
from tests.fuzz.guard import assert_harmless

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
INSTALL, CHECK = ACTION["runs"]["steps"]
INPUT = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}\Z")

pytestmark = pytest.mark.slow

Step = Callable[..., tuple[subprocess.CompletedProcess[str], dict[str, str]]]


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUNNER_TEMP with ckptfix in it, as the first step leaves it."""
    made = tmp_path_factory.mktemp("runner")
    run_step(INSTALL, made, made, {})
    return made


def run_step(
    step: dict[str, Any],
    temporary: Path,
    folder: Path,
    inputs: dict[str, str],
    *,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    defaults = {name: str(row["default"]) for name, row in ACTION["inputs"].items()}
    given = defaults | inputs
    environment = {}
    for name, value in step["env"].items():
        match = INPUT.match(value)
        assert match is not None, value
        environment[name] = given[match.group(1)]
    # What GitHub runs for `shell: bash`.
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={
            **os.environ,
            **environment,
            "RUNNER_TEMP": str(temporary),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(folder / "outputs"),
        },
        check=check,
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def step(tmp_path: Path, temporary: Path) -> Step:
    """Run the second step in a scratch repository of three checkpoints."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name in ("nanovl-mixed", "llama-fp8-kv8"):
        shutil.copytree(DATA / name, tmp_path / "models" / name)
    shutil.copytree(DATA / "llama-fp8-kv8", tmp_path / "with space")

    def run(**inputs: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
        named = {key.replace("_", "-"): value for key, value in inputs.items()}
        done = run_step(CHECK, temporary, tmp_path, named, check=False)
        lines = (tmp_path / "outputs").read_text().splitlines()
        return done, dict(line.split("=", 1) for line in lines)

    return run


def test_annotations_of_every_checkpoint_under_a_folder(step: Step) -> None:
    done, outputs = step(paths="models/*\nwith space\n")
    assert done.returncode == 1
    first, *others = done.stdout.splitlines()
    assert first.startswith("::error file=models/nanovl-mixed/config.json,line=165,")
    answers = [line for line in others if line.startswith("::notice title=")]
    assert [answer.partition("::vllm")[0] for answer in answers] == [
        "::notice title=models/nanovl-mixed%3A does not load on sglang 0.5.23",
        "::notice title=models/llama-fp8-kv8%3A loads",
        "::notice title=with space%3A loads",
    ]
    assert outputs == {"exit-code": "1", "output-file": ""}


def test_sarif_goes_to_a_file_and_text_to_the_log(step: Step, tmp_path: Path) -> None:
    done, outputs = step(paths="models/nanovl-mixed", runtime="vllm==0.17.1\n", format="sarif")
    assert done.returncode == 1
    assert outputs == {"exit-code": "1", "output-file": "ckptfix.sarif"}
    (run,) = json.loads((tmp_path / "ckptfix.sarif").read_text())["runs"]
    assert {result["ruleId"] for result in run["results"]} == {"CKF701"}
    assert "vllm 0.17.1: 10 of 23 modules built in a different format than stored" in done.stdout


def test_no_name_of_a_checkpoint_acts_on_the_runner(step: Step, tmp_path: Path) -> None:
    names = ("::error file=x::y", "##[error]x", "##vso[task.complete]x", "##teamcity[x]")
    write_checkpoint(tmp_path / "hostile", fp8(names[0]), mixed(dict.fromkeys(names, "FP8")))
    for format_ in ("text", "sarif", "junit"):
        done, _ = step(paths="hostile", format=format_, output_file="report")
        assert done.returncode == 1
        assert r"\x23#[error]x" in done.stdout
        assert_harmless(done.stdout + done.stderr + (tmp_path / "report").read_text())
    done, _ = step(paths="hostile")
    assert_harmless(done.stdout, annotations=True)


def test_flags_and_clean_checkpoints(step: Step) -> None:
    done, outputs = step(paths="with space", runtime="vllm==0.33.0", format="text")
    assert (done.returncode, outputs["exit-code"]) == (0, "0")
    assert done.stdout.endswith("with space: clean\n")
    done, _ = step(
        paths="models/nanovl-mixed",
        runtime="vllm==0.17.1",
        args="--ignore CKF7\n--fail-on error",
        format="text",
    )
    assert done.returncode == 1  # what is ignored does not make it load
    assert "10 findings ignored" in done.stdout
    done, _ = step(
        paths="models/nanovl-mixed", args="--ignore CKF1\n--fail-on error", format="text"
    )
    assert "36 findings ignored" in done.stdout


def test_what_cannot_be_checked_and_what_looks_like_code(step: Step, tmp_path: Path) -> None:
    done, outputs = step(paths="nowhere\n$(touch pwned)\n--help")
    assert (done.returncode, outputs["exit-code"]) == (2, "2")
    assert "error: $(touch pwned): no such directory" in done.stderr
    assert "error: --help: no such directory" in done.stderr
    assert not (tmp_path / "pwned").exists()
