"""Verdict, last line, formats and exit code say the same, and what is suggested does as it says.

On every fixture, case and recorded mutation: of the mutations every tenth, all with `make answers`.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree as ET

import pytest

from ckptfix.__main__ import main
from ckptfix.errors import CkptfixError
from ckptfix.operations.check_one import CheckRequest, check_one
from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import plain
from ckptfix.report.formats import renderer
from ckptfix.report.layout import fitted
from ckptfix.report.spelling import spelled_check
from ckptfix.rules.finding import Severity
from ckptfix.runtimes.profile_store import known_releases
from tests.cases.packed import SHARED_CASES, packed, unpack
from tests.conftest import FIXTURE_NAMES, FIXTURES, files_of
from tests.truth.test_truth import HERE, LINES
from truth_loop.case import Case
from truth_loop.judges import home_of

Release = tuple[str, str]
Answers = dict[Release, str]

EVERY = bool(os.environ.get("EVERY_ANSWER"))
MUTATIONS = (
    [param.values[0] for param in HERE]
    if EVERY
    else [param.values[0] for param in HERE if not param.marks][::10]
)
CASES = (
    sorted(path.parent.name for path in SHARED_CASES.glob("*/config.json"))
    if SHARED_CASES.is_dir()
    else sorted(packed())
)
ROW = re.compile(r"  (\w+) (\S+)(?: to (\S+))? +(yes|no|unknown)(?:, .*)?")
RANGE = re.compile(r"\b(vllm|sglang) (\d[^\s,;]*)(?: to (\d[^\s,;]*))?")


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, symlinks=True)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    return target


@dataclass(frozen=True)
class Said:
    """What one checkpoint was answered, in every format."""

    report: CheckReport
    formats: Mapping[str, str]

    @property
    def json(self) -> dict[str, Any]:
        (checked,) = json.loads(self.formats["json"])["checkpoints"]
        found: dict[str, Any] = checked
        return found

    @property
    def answers(self) -> Answers:
        return {(r["runtime"], r["version"]): r["loads"] for r in self.json["runtimes"]}


def said(directory: Path) -> Said | None:
    """None where it cannot be checked: that is an error and no answer."""
    try:
        checked: CheckedCheckpoint = spelled_check(check_one(str(directory), CheckRequest()))
    except CkptfixError:
        return None
    report = CheckReport((checked,), Severity.WARNING, Path.cwd())
    names = ("text", "json", "jsonl", "sarif", "junit", "github")
    shown = {name: fitted(renderer(name)(report, False), None) for name in names}
    return Said(report, {name: "\n".join(map(plain, lines)) for name, lines in shown.items()})


def releases(runtime: str, first: str, last: str | None) -> list[Release]:
    known = list(known_releases(runtime))
    chosen = known[known.index(first) : known.index(last or first) + 1]
    return [(runtime, version) for version in chosen]


def first_screen(text: str) -> tuple[Answers, list[str]]:
    """The answers, and the lines below `Next step`."""
    head, *lines = text.partition("\n\n")[0].splitlines()
    assert head.startswith("Will it load?")
    step = lines.index("Next step")
    answers: Answers = {}
    for line in lines[:step]:
        row = ROW.fullmatch(line)
        assert row, line
        answers |= dict.fromkeys(releases(row[1], row[2], row[3]), row[4])
    return answers, lines[step + 1 :]


def assert_one_answer(made: Said) -> None:
    """Every output has the answers of the JSON, and the exit code follows from them."""
    found, answers, code = made.json, made.answers, made.report.exit_code
    assert first_screen(made.formats["text"])[0] == answers
    counted = {(r["runtime"], r["version"]): r["loads"] for r in found["runtimes"] if r["counts"]}
    words = set(counted.values())
    assert found["loads"] == ("no" if "no" in words else "yes" if words == {"yes"} else "unknown")
    assert code == int(words != {"yes"} or bool(found["findings"]))
    assert json.loads(made.formats["json"])["exit_code"] == code
    assert json.loads(made.formats["jsonl"])["exit_code"] == code
    assert found["clean"] == (code == 0)
    assert bool(found["loads"] == "no") == any(
        finding["code"].startswith("CKF7") or made_of_tensors(finding)
        for finding in found["findings"]
    )
    assert_last_line(made, counted)
    (run,) = json.loads(made.formats["sarif"])["runs"]
    rows = run["properties"]["runtimes"]
    assert {(r["runtime"], r["version"]): r["loads"] for r in rows} == answers
    assert run["invocations"][0]["exitCode"] == code
    cases = {
        case.get("name", ""): case for case in ET.fromstring(made.formats["junit"]).iter("testcase")
    }
    for (runtime, version), loads in answers.items():
        case = cases[f"{runtime} {version} loads it"]
        fails = (runtime, version) in counted and loads != "yes"
        assert (case.find("failure") is not None) == fails
        assert (len(case) == 0) == (loads == "yes")
    assert ("::error " in made.formats["github"]) >= (found["loads"] != "yes")
    for finding in found["findings"]:
        assert finding["file"]
        assert finding["advice"]


def made_of_tensors(finding: dict[str, Any]) -> bool:
    """A rule found that the tensors themselves are wrong."""
    from ckptfix.rules.registry import RULES

    return RULES[finding["code"]].blocks_loading


def assert_last_line(made: Said, counted: Answers) -> None:
    last = made.formats["text"].splitlines()[-1]
    assert last.endswith(": clean") == (made.report.exit_code == 0)
    for word, phrase in (
        ("no", "does not load on "),
        ("unknown", "not known whether it loads on "),
    ):
        named = last.partition(phrase)[2].partition(";")[0]
        message = {r for row in RANGE.finditer(named) for r in releases(row[1], row[2], row[3])}
        assert message == {release for release, loads in counted.items() if loads == word}


def run(words: list[str]) -> int:
    with (
        mock.patch.object(sys, "argv", words),
        redirect_stdout(StringIO()),
        redirect_stderr(StringIO()),
        pytest.raises(SystemExit) as done,
    ):
        main()
    return int(done.value.code or 0)


def assert_next_step_is_true(made: Said, source: Path, workspace: Path) -> None:
    """A release to serve with loads it, a rewrite does as it says, or there is neither."""
    found, before = made.json, made.answers
    _, lines = first_screen(made.formats["text"])
    assert lines
    for line in lines:
        command, _, message = line.strip().partition("  #")
        if command.startswith("nothing to run"):
            assert not any("ckptfix rewrite" in finding["advice"] for finding in found["findings"])
            assert "yes" not in before.values()
            assert ("findings below" in message) == bool(found["findings"])
        elif command.startswith("ckptfix rewrite"):
            assert_rewrite_follows_the_advice(command, message, before, source, workspace)
        else:
            row = RANGE.search(message)
            assert row
            assert {before[r] for r in releases(row[1], row[2], row[3])} == {"yes"}


def assert_rewrite_follows_the_advice(
    command: str, message: str, before: Answers, source: Path, workspace: Path
) -> None:
    directory = copied(source, workspace / "rewritten")
    words = [w if w != str(source) else str(directory) for w in shlex.split(command)]
    bytes_before = files_of(directory)
    assert run([word for word in words if word != "--dry-run"]) == 0
    assert files_of(directory) != bytes_before
    after = said(directory)
    assert after is not None
    gained = {r for r, loads in after.answers.items() if loads == "yes" != before[r]}
    named = message.partition("then it loads on ")[2].partition(";")[0]
    promised = {r for row in RANGE.finditer(named) for r in releases(row[1], row[2], row[3])}
    assert promised == gained, message
    lost = {r for r, loads in after.answers.items() if loads != "yes" == before[r]}
    named = message.partition("no longer on ")[2]
    assert {r for row in RANGE.finditer(named) for r in releases(row[1], row[2], row[3])} == lost
    assert ("none of these answers changes" in message) == (
        not gained and not lost and set(before.values()) != {"yes"}
    )


def assert_all(source: Path, workspace: Path) -> None:
    made = said(source)
    if made is None:
        assert run(["ckptfix", "check", str(source)]) == 2
        return
    assert_one_answer(made)
    assert_next_step_is_true(made, source, workspace)
    if not made.json["findings"] and "ckptfix rewrite" not in made.formats["text"]:
        # What `check` does not announce, `rewrite` does not do.
        directory = copied(source, workspace / "unasked")
        before = files_of(directory)
        assert run(["ckptfix", "rewrite", str(directory)]) == 0
        assert files_of(directory) == before


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_on_every_fixture(name: str, tmp_path: Path) -> None:
    assert_all(FIXTURES / name, tmp_path)


@pytest.mark.parametrize("slug", CASES)
def test_on_every_case(slug: str, tmp_path: Path) -> None:
    directory = SHARED_CASES / slug
    assert_all(directory if directory.is_dir() else unpack(slug, tmp_path / "case"), tmp_path)


@pytest.mark.parametrize("id_", MUTATIONS)
def test_on_recorded_mutations(id_: str, tmp_path: Path) -> None:
    case = Case.of_line(next(iter(LINES[id_].values())))
    assert_all(case.write(home_of(case.origin), tmp_path / "broken"), tmp_path)
