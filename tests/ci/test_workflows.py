"""The workflows call what is there, with few permissions and actions that cannot change."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps_of(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_there_is_one_for_every_push_and_one_for_a_release() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_commands_that_are_there(path: Path) -> None:
    commands = [step["run"] for step in steps_of(path) if "run" in step]
    for command in commands:
        words = command.split()
        if words[0] == "make":
            assert set(words[1:]) <= TARGETS
        elif words[0].startswith("."):
            assert os.access(ROOT / words[0], os.X_OK)
        else:
            assert words[0] in ("gh", "test")
    assert ".ci/run" in commands


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_inputs_are_not_pasted_into_scripts(path: Path) -> None:
    for step in steps_of(path):
        if "uses" in step:
            assert re.search(r"@[0-9a-f]{40}\Z", step["uses"]), step["uses"]
        else:
            assert "${{" not in step["run"]


def test_only_the_job_that_needs_a_permission_to_write_has_it() -> None:
    granted: dict[str, list[str]] = {}
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert set(workflow["permissions"].values()) <= {"read"}
        for name, job in workflow["jobs"].items():
            writes = [k for k, v in job.get("permissions", {}).items() if v == "write"]
            granted |= {name: writes} if writes else {}
    assert granted == {"publish": ["id-token"], "release": ["contents"]}


def test_ci_runs_on_every_python_that_the_package_names() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r"Python :: (3\.\d+)", text)
    job = yaml.safe_load(WORKFLOWS[0].read_text())["jobs"]["test"]
    assert set(named) <= set(job["strategy"]["matrix"]["python"])
    assert f'requires-python = ">={named[0]}"' in text
