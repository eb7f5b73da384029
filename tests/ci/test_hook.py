"""The pre-commit hook, run by pre-commit in a scratch repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA

ROOT = Path(__file__).parents[2]
PACKAGE = (".pre-commit-hooks.yaml", "pyproject.toml", "README.md", "LICENSE", "src")
CONFIG = """\
repos:
  - repo: {repository}
    rev: {commit}
    hooks:
      - id: ckptfix-check
        args: [--ignore, CKF306, --]
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_all(folder: Path) -> str:
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "test")
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.slow
def test_the_hook_finds_what_is_wrong_in_the_files_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "home"))
    # The working tree as a repository of its own: what is tested is not the last commit.
    hooks = tmp_path / "hooks"
    for name in PACKAGE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        hooks.mkdir(exist_ok=True)
        copy(ROOT / name, hooks / name)
    scratch = tmp_path / "scratch"
    shutil.copytree(DATA / "nanovl-mixed", scratch / "broken")
    shutil.copytree(DATA / "llama-fp8-kv8", scratch / "healthy")
    shutil.copytree(DATA / "llama-fp8-kv8", scratch / "-rf")
    (scratch / "package.json").write_text("{}")
    config = CONFIG.format(repository=hooks, commit=commit_all(hooks))
    (scratch / ".pre-commit-config.yaml").write_text(config)
    commit_all(scratch)

    def hook(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pre_commit", "run", "--verbose", *arguments]
        return subprocess.run(command, cwd=scratch, check=False, capture_output=True, text=True)

    done = hook("--all-files")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken: does not load on sglang 0.5.23; 38 errors" in done.stdout
    assert "3 checkpoints: 2 clean, 1 not loaded" in done.stdout
    done = hook("--files", "healthy/hf_quant_config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "healthy: clean" in done.stdout
    assert "no files to check" in hook("--files", "package.json").stdout
