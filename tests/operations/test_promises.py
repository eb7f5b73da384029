"""What `check` promises of a rewrite is so: the promised command is run, and checked again.

Nothing is promised that was not planned: a finding names the command that repairs it, the first
screen the command to type next, and each of them changes something for the better.
"""

import json
import shlex
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, SHARED, Call, files_of
from tests.mutations import of_entries, of_files, of_patterns, of_tensors
from tests.mutations.editable import read_editable
from tests.mutations.kind import KINDS
from tests.mutations.test_mutations import FEW

MUTATIONS = (of_entries, of_files, of_patterns, of_tensors)
"""Importing them fills KINDS."""
CASES = SHARED / "cases" if (SHARED / "cases").is_dir() else DATA / "cases"
NEWEST = ("--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")


def checkpoints() -> dict[str, Path]:
    """Every fixture and every case, by name."""
    found = {name: FIXTURES / name for name in FIXTURE_NAMES}
    for file in ("config.json", "hf_quant_config.json"):
        found |= {
            f"case {path.parent.relative_to(CASES)}": path.parent
            for path in sorted(CASES.glob(f"**/{file}"))
        }
    return found


CHECKPOINTS = checkpoints()


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    return target


def findings(call: Call, directory: Path, *flags: str) -> list[dict[str, Any]]:
    """No finding where the checkpoint cannot be checked: that promises nothing."""
    [checked] = json.loads(call("check", directory, "--json", *flags).stdout)["checkpoints"]
    found: list[dict[str, Any]] = checked["findings"]
    return found


def of_one_kind(found: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((finding["code"], finding["file"]) for finding in found)


def commands(call: Call, directory: Path, *flags: str) -> list[list[str]]:
    """The rewrites of the first screen."""
    done = call("check", directory, *flags)
    if done.returncode == 2:
        return []
    lines = done.stdout.partition("\n\n")[0].splitlines()
    typed = lines[lines.index("Next step") + 1 :]
    words = (shlex.split(line, comments=True) for line in typed)
    return [line[1:] for line in words if line[:2] == ["ckptfix", "rewrite"]]


def assert_promises_are_kept(call: Call, source: Path, workspace: Path, *flags: str) -> int:
    """Run each command that repairs something; the number of promises."""
    found = findings(call, source, *flags)
    promised: dict[str, list[dict[str, Any]]] = {}
    for finding in found:
        if finding["fixed_by"]:
            promised.setdefault(finding["fixed_by"], []).append(finding)
    for number, (command, repaired) in enumerate(promised.items()):
        directory = copied(source, workspace / str(number))
        verb, *options = command.split()
        done = call(verb, directory, *options, *flags)
        assert done.returncode == 0, done.stdout + done.stderr
        left = of_one_kind(findings(call, directory, *flags))
        before = of_one_kind(found)
        for kind, number_promised in of_one_kind(repaired).items():
            assert left[kind] <= before[kind] - number_promised, (command, kind)
    return sum(map(len, promised.values()))


def assert_advice_ends(call: Call, source: Path, workspace: Path, *flags: str) -> None:
    """Type what the first screen says until it says no rewrite; each changes bytes."""
    directory = copied(source, workspace / "typed")
    for _ in range(4):
        typed = commands(call, directory, *flags)
        if not typed:
            return
        before = files_of(directory)
        applied = [word for word in typed[0] if word != "--dry-run"]
        assert call(*applied).returncode == 0
        assert files_of(directory) != before, typed
    pytest.fail(f"a fifth rewrite is advised: {typed}")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_finding_is_gone_after_the_rewrite_that_repairs_it(
    name: str, call: Call, tmp_path: Path
) -> None:
    assert_promises_are_kept(call, CHECKPOINTS[name], tmp_path)


@pytest.mark.parametrize("name", ["nanovl-mixed", "nemotronh-moe-super-nulbug", "qwen3vlmoe-nvfp4"])
def test_a_finding_of_a_release_is_gone_after_the_rewrite_for_that_release(
    name: str, call: Call, tmp_path: Path
) -> None:
    promises = sum(
        assert_promises_are_kept(call, DATA / name, tmp_path / spec, "--runtime", spec)
        for spec in ("vllm==0.19.1", "vllm==0.33.0", "sglang==0.5.23")
    )
    assert promises or name == "qwen3vlmoe-nvfp4"


@pytest.mark.parametrize("flags", [(), NEWEST], ids=["known", "flags"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_to_type_changes_something_and_comes_to_an_end(
    name: str, flags: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    assert_advice_ends(call, CHECKPOINTS[name], tmp_path, *flags)


@pytest.mark.parametrize("name", FEW)
def test_promises_about_broken_checkpoints_are_kept(name: str, call: Call, tmp_path: Path) -> None:
    healthy, promises = read_editable(FIXTURES / name), 0
    for kind in KINDS.values():
        broken = healthy.copy()
        if kind.break_(broken, Random(f"0 {kind.name} {name}")) is not None:
            directory = broken.write(tmp_path / kind.name / "broken")
            promises += assert_promises_are_kept(call, directory, tmp_path / kind.name)
            assert_advice_ends(call, directory, tmp_path / kind.name)
    assert promises > len(KINDS)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_dry_run_is_a_patch_that_git_takes_or_nothing(
    name: str, call: Call, tmp_path: Path
) -> None:
    directory = copied(CHECKPOINTS[name], tmp_path / "c")
    for options in ((), ("--from-tensors",)):
        patch = call("rewrite", directory, "--dry-run", *options).stdout
        if patch.startswith("--- a/"):
            git = ["git", "apply", "--check", "-"]
            subprocess.run(git, cwd=directory, input=patch, text=True, check=True)
