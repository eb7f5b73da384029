"""What scripts and terminals ask for besides a report: less of it, another exit code, colour."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ckptfix.rules.registry import RULES
from tests.conftest import DATA, Call, Run

NANO_VL, CLEAN = DATA / "nanovl-mixed", DATA / "llama-fp8-kv8"
OLD = ("--runtime", "vllm==0.17.1")


def test_quiet_names_what_does_not_pass(call: Call) -> None:
    done = call("check", NANO_VL, CLEAN, "--quiet", *OLD)
    assert done.returncode == 1
    assert done.stdout == f"{NANO_VL}: does not load on vllm 0.17.1 (CKF701)\n"
    assert call("check", CLEAN, "-q", *OLD).stdout == ""


def test_statistics_count_the_findings_of_each_rule(call: Call) -> None:
    done = call("check", NANO_VL, CLEAN, "--statistics")
    head, first, *_ = (line.split() for line in done.stdout.splitlines())
    assert head[:3] == ["findings", "repaired", "code"]
    assert first[:4] == ["36", "36", "CKF101", "rewrite"]
    assert call("check", CLEAN, "--statistics", *OLD).stdout == "no findings\n"


@pytest.mark.parametrize("flags", [(), OLD], ids=["known", "requested"])
@pytest.mark.parametrize("name", ["nanovl-mixed", "nemotronh-moe-super-nulbug"])
def test_every_output_has_the_same_number_of_findings_and_of_repaired_ones(
    name: str, flags: tuple[str, ...], call: Call
) -> None:
    """Findings of releases (CKF7) are counted like all others."""
    directory = DATA / name
    [checked] = json.loads(call("check", directory, "--json", *flags).stdout)["checkpoints"]
    errors, warnings = checked["counts"].values()
    repaired = sum(f["count"] for f in checked["findings"] if f["fixed_by"])
    assert any(f["code"] >= "CKF7" and f["fixed_by"] for f in checked["findings"])
    text = call("check", directory, *flags).stdout
    last = text.splitlines()[-1]
    assert sum(map(int, re.findall(r"(\d+) (?:error|warning)", last))) == errors + warnings
    assert sum(map(int, re.findall(r"repairs (\d+)", last))) == repaired
    statistics = call("check", directory, "--statistics", *flags).stdout.splitlines()[1:]
    rows = [row.split()[:4] for row in statistics]
    assert sum(int(row[0]) for row in rows) == errors + warnings
    assert sum(int(row[1]) for row in rows) == repaired
    assert all((row[1] != "0") == (row[3] == "rewrite") for row in rows)
    [run] = json.loads(call("check", directory, "--format", "sarif", *flags).stdout)["runs"]
    assert sum(r["properties"]["findings"] for r in run["results"]) == errors + warnings
    table = call("check", directory, CLEAN, *flags).stdout.splitlines()
    assert any(row.split()[-1:] == [str(errors + warnings)] for row in table)


def test_advice_on_a_tensor_name_is_the_same_for_the_rule_and_for_the_releases(call: Call) -> None:
    directory = DATA / "nemotronh-moe-super-nulbug"
    [checked] = json.loads(call("check", directory, "--json").stdout)["checkpoints"]
    about = [f for f in checked["findings"] if f["subject"] == "backbone.embedding"]
    assert {f["code"] for f in about} == {"CKF109", "CKF703"}
    assert {f["fixed_by"] for f in about} == {"rewrite --tensors"}
    assert all(f"ckptfix rewrite {directory} --tensors" in f["advice"] for f in about)


def test_exit_zero_keeps_a_finding_from_failing_and_no_error(call: Call) -> None:
    assert call("check", NANO_VL, *OLD).returncode == 1
    done = call("check", NANO_VL, "--exit-zero", *OLD)
    assert done.returncode == 0
    assert "does not load on vllm 0.17.1" in done.stdout
    assert call("check", NANO_VL, "nowhere", "--exit-zero").returncode == 2


@pytest.mark.parametrize(
    "options",
    [("--quiet", "--json"), ("--statistics", "--format", "sarif"), ("--quiet", "--statistics")],
    ids=" ".join,
)
def test_options_that_contradict_each_other(options: tuple[str, ...], call: Call) -> None:
    done = call("check", CLEAN, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_color_is_chosen_by_an_option_too(run: Run) -> None:
    assert "\x1b[" in run("--color", "always", "rules").stdout
    assert "\x1b[" in run("--color=always", "rules", NO_COLOR="1").stdout
    assert "\x1b[" not in run("--color", "never", "rules", FORCE_COLOR="1").stdout
    assert "\x1b[" not in run("--color", "auto", "rules").stdout
    assert "\x1b[" in run("rules", "--color", "always").stdout
    assert "\x1b[" in run("explain", "--color=always", "CKF101").stdout
    done = run("rules", "--color")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("explain CKF10", "CKF101"),
        ("check x --select CKF1,CKF70", "CKF1,CKF701"),
        ("check x --runtime vl", "vllm==0.33.0"),
        ("resolve x --runtime sglang==0.5.1", "sglang==0.5.14"),
        ("runtimes NemotronH_", "NemotronH_Nano_VL_V2"),
    ],
)
def test_a_shell_completes_codes_releases_and_architectures(typed: str, completed: str) -> None:
    words = f"ckptfix {typed}"
    done = subprocess.run(
        [sys.executable, "-m", "ckptfix"],
        env={
            **os.environ,
            "_CKPTFIX_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed in done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        (["check", "--runtime", "vllm", "==", "0.20"], ["0.20.2", "0.20.1", "0.20.0"]),
        (["check", "--runtime", "=", "sglang", "==", "0.5.14"], ["0.5.14"]),
        (["resolve", "x", "--runtime", "vllm", "==", "0.33"], ["0.33.0"]),
        (["check", "--format", "=", "js"], ["json", "jsonl"]),
        (["check", "--select", "CKF1,CKF70"], ["CKF1,CKF701", "CKF1,CKF702", "CKF1,CKF703"]),
    ],
    ids=" ".join,
)
def test_bash_completes_words_that_it_splits(
    typed: list[str], proposed: list[str], tmp_path: Path
) -> None:
    """With the script that --show-completion prints, and words as bash passes them."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    command = tmp_path / "ckptfix"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ckptfix "$@"\n')
    command.chmod(0o755)
    words = " ".join(f"'{word}'" for word in ["ckptfix", *typed])
    script = f"""
        eval "$(ckptfix --show-completion)"
        COMP_WORDS=({words}); COMP_CWORD={len(typed)}
        _ckptfix_completion ckptfix
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    done = subprocess.run(
        [bash, "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == proposed, done.stderr


def test_junit_has_no_case_for_a_rule_that_is_not_run(call: Call) -> None:
    suite = ET.fromstring(call("check", CLEAN, "--format", "junit").stdout)[0]
    codes = {str(case.get("name")).split()[0] for case in suite}
    assert {rule.code for rule in RULES.values() if rule.needs == "headers"} <= codes
    assert not codes & {rule.code for rule in RULES.values() if rule.needs != "headers"}


def test_help_names_arguments_as_a_user_types_them(run: Run) -> None:
    shown = run("rewrite", "--help", COLUMNS="80").stdout
    assert shown.startswith("Usage: ckptfix rewrite [OPTIONS] CHECKPOINT...\n")
    for command in ("check", "resolve", "compare", "explain", "runtimes", "demo", "verify"):
        page = run(command, "--help", COLUMNS="80").stdout
        assert not any(word in page for word in ("<str>", "list[", "{", "[[", "default: ("))
    missing = run("resolve", "x").stderr
    assert "Usage: ckptfix resolve [OPTIONS] CHECKPOINT MODULE...\n" in missing
