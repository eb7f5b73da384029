"""`ckptfix rules` and `ckptfix explain`."""

import json
import textwrap

import pytest
from packaging.version import Version

from ckptfix import __version__
from ckptfix.report.spelling import spelled
from ckptfix.rules.registry import RULES
from tests.conftest import Call


def test_the_table_has_a_line_for_every_rule(call: Call) -> None:
    header, *lines = call("rules").stdout.splitlines()
    assert header.split() == ["code", "severity", "repaired", "by", "family", "title"]
    assert [line.split()[0] for line in lines] == list(RULES)
    (first,) = (line for line in lines if line.startswith("CKF101"))
    assert first.split()[1:4] == ["error", "rewrite", "names"]


def test_the_catalogue_as_json(call: Call) -> None:
    rules = {rule["code"]: rule for rule in json.loads(call("rules", "--json").stdout)}
    assert list(rules) == list(RULES)
    assert rules["CKF108"]["fixed_by"] == "rewrite"
    assert rules["CKF206"]["severity"] == "warning"
    assert rules["CKF701"]["needs"] == "release"
    assert rules["CKF301"]["blocks_loading"]
    assert all(rule["why"] and rule["fix"] and rule["family"] for rule in rules.values())


@pytest.mark.parametrize("code", RULES)
def test_every_rule_is_explained_in_lines_that_fit_a_terminal(code: str, call: Call) -> None:
    done = call("explain", code.lower())
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    assert " ".join(spelled(RULES[code].why).split()) in words
    assert " ".join(spelled(RULES[code].fix).split()) in words
    repaired = any(
        f"ckptfix rewrite DIR{more} repairs it" in words
        for more in ("", " --from-tensors", " --tensors")
    )
    assert repaired == bool(RULES[code].fixed_by)
    assert f"ckptfix check DIR --ignore {code}" in words
    assert textwrap.indent(RULES[code].example, "  ") in done.stdout
    assert f"since ckptfix {RULES[code].since}" in words
    assert Version(RULES[code].since).release <= Version(__version__).release
    assert max(map(len, done.stdout.splitlines())) <= 88


def test_an_unknown_code_is_reported_with_the_nearest(call: Call) -> None:
    done = call("explain", "CKF1011")
    assert done.returncode == 2
    assert done.stderr == "error: there is no rule 'CKF1011'; did you mean CKF101\n"
    assert "see ckptfix rules" in call("explain", "E501").stderr


def test_no_rule_is_suggested_that_is_far_from_what_was_typed(call: Call) -> None:
    assert (
        call("explain", "CKF999").stderr == "error: there is no rule 'CKF999'; see ckptfix rules\n"
    )
    assert call("explain", "CKF814").stderr.endswith("did you mean CKF813\n")
