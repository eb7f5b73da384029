"""A new rule is one file: no other place knows the codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.builders import bf16, fp8, write_checkpoint
from tests.conftest import check

RULE = '''
"""CKF9xx: rules of a test."""

from ckptfix.rules.finding import Family, Severity
from ckptfix.rules.reading import place_of

FAMILY = Family("CKF9", "made up")


@FAMILY.rule(
    "CKF901",
    "the head is stored",
    Severity.ERROR,
    why="A test wants no head.",
    fix="Remove it.",
    since="0.1.0",
    needs="headers",
    blocks_loading=True,
    example="""
    model.safetensors
    - lm_head stored as BF16
    """,
)
def stored_head(context):
    """A module named lm_head."""
    for name in context.checkpoint.modules:
        if name == "lm_head":
            yield context.finding(
                subject=name,
                message="is stored",
                place=place_of(context.checkpoint, name),
                advice="remove it",
                modules=(name,),
            )
'''
RUN = """
import sys
import ckptfix.rules
ckptfix.rules.__path__.append(sys.argv.pop(1))
from ckptfix.__main__ import main
main()
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line with one more folder of rules."""
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder), *arguments],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={k: v for k, v in os.environ.items() if k != "FORCE_COLOR"},
    )


OTHERS = ("--ignore", "CKF7")


def test_a_rule_file_is_all_that_a_new_rule_takes(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "heads.py").write_text(RULE, encoding="utf-8")
    model = tmp_path / "model"
    tensors = {**fp8("model.a"), **bf16("lm_head")}
    write_checkpoint(model, tensors, {"quant_algo": "FP8", "ignore": ["lm_head"]})
    assert check(model) == ()

    text = run(rules, "check", str(model))
    assert text.returncode == 1
    assert "error CKF901 the head is stored\n  lm_head\n    is stored" in text.stdout
    assert "no, stops while loading: the tensors themselves are wrong: CKF901" in text.stdout

    report = json.loads(run(rules, "check", str(model), *OTHERS, "--format", "json").stdout)
    (finding,) = report["checkpoints"][0]["findings"]
    assert (finding["code"], finding["tensor"]) == ("CKF901", "lm_head.weight")

    sarif = json.loads(run(rules, "check", str(model), *OTHERS, "--format", "sarif").stdout)[
        "runs"
    ][0]
    (result,) = sarif["results"]
    assert sarif["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "CKF901"
    assert (
        "CKF901 the head is stored" in run(rules, "check", str(model), "--format", "junit").stdout
    )

    ignored = run(rules, "check", str(model), "--ignore", "CKF9,CKF7")
    assert "CKF901 the head is stored" not in ignored.stdout
    assert ignored.returncode == 1  # no release loads it anyway
    (row,) = (line for line in run(rules, "rules").stdout.splitlines() if "CKF901" in line)
    assert row.split()[1:5] == ["error", "-", "made", "up"]
    explained = run(rules, "explain", "ckf901").stdout
    assert "the head is stored (made up)" in explained
    assert "- lm_head stored as BF16" in explained


def test_a_code_that_is_taken_is_no_new_rule(tmp_path: Path) -> None:
    rule = RULE.replace("CKF901", "CKF101").replace('"CKF9"', '"CKF1"')
    (tmp_path / "heads.py").write_text(rule, encoding="utf-8")
    done = run(tmp_path, "rules")
    assert done.returncode != 0
    assert "CKF101" in done.stderr
