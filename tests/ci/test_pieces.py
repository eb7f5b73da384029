"""What docs/ci.md and the Dockerfile name is there, and completion completes."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text()
WORKFLOW, PRE_COMMIT = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_workflow_uses_inputs_that_the_action_has() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = (s for s in WORKFLOW["jobs"]["check"]["steps"] if "/ckptfix@" in s["uses"])
    assert set(step["with"]) <= set(action["inputs"])
    for name in (*action["inputs"], *action["outputs"]):
        assert f"`{name}`" in PAGE
    (upload,) = (s for s in WORKFLOW["jobs"]["check"]["steps"] if "upload-sarif" in s["uses"])
    assert upload["with"]["sarif_file"] in action["inputs"]["output-file"]["description"]


def test_the_pre_commit_snippet_names_the_hook() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (repository,) = PRE_COMMIT["repos"]
    assert [h["id"] for h in repository["hooks"]] == [hook["id"]]


def test_the_image_copies_what_there_is_and_all_that_the_build_needs() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [shlex.split(line)[1:-1] for line in lines if line.startswith("COPY")]
    sources = [name for copy in copies if not copy[0].startswith("--from") for name in copy]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in sources:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    project = (ROOT / "pyproject.toml").read_text()
    for named in re.findall(r'^(?:readme|license-files) = \[?"(.*?)"', project, re.MULTILINE):
        assert any(fnmatch(named, name) for name in sources)
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["ckptfix"]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ckptfix re", {"rewrite", "resolve"}),
        ("ckptfix check --fo", {"--format"}),
        ("ckptfix check --format s", {"sarif"}),
    ],
)
def test_completion(words: str, completed: set[str]) -> None:
    environment = {
        **os.environ,
        "_CKPTFIX_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ckptfix"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert set(done.stdout.split()) == completed


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_completion_is_installed_where_bash_reads_it(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    # From a bash, as a user would: the shell is detected through the parent process.
    install = f"{shlex.quote(sys.executable)} -m ckptfix --install-completion && echo done"
    command = ["bash", "--norc", "-c", install]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    shown = subprocess.run(
        ["bash", "--norc", "-c", "source ~/.bashrc && complete -p ckptfix"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "_ckptfix_completion" in shown.stdout
