"""A stranger's regular expression ends in an error, not in a hang."""

import re
from pathlib import Path

import pytest

from ckptfix.untrusted_regex import RegexTimeError, UntrustedRegex, limited_regexes
from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import Call, Run


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptfix.untrusted_regex.SECONDS", 0.3)


NAME = "model.layers." + "a" * 60


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("expression", [r"(a+)+b", ".*a" * 12 + ".*b"])
def test_one_that_backtracks_for_ever_is_stopped(expression: str) -> None:
    regex = UntrustedRegex(expression)
    with pytest.raises(RegexTimeError), limited_regexes():
        regex.fullmatch("a" * 300)


def test_many_short_matches_are_work_and_not_an_attack() -> None:
    regex = UntrustedRegex(r"a+b")
    with limited_regexes():
        assert not any(regex.match("aaa") for _ in range(300_000))


@pytest.mark.parametrize("expression", ["(", "a{99999999999}", "(" * 5000 + ")" * 5000])
def test_what_is_no_expression_is_one_kind_of_error(expression: str) -> None:
    with pytest.raises(re.error):
        UntrustedRegex(expression)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("pattern", [r"re:.*(a+)+b", "(a+)+b"])
def test_a_pattern_of_the_metadata(tmp_path: Path, call: Call, pattern: str) -> None:
    directory = write_checkpoint(
        tmp_path / "c",
        {**fp8("model.layers.0.mlp.down_proj"), **bf16(NAME)},
        {"quant_algo": "FP8", "quant_method": "modelopt", "ignore": [pattern]},
    )
    done = call("check", directory, "--runtime", "sglang==0.5.23")
    assert done.returncode == 2
    assert "matching regular expressions took" in done.stderr


def test_a_rule_of_a_mapper_file_and_the_checkpoint_after_it(tmp_path: Path, run: Run) -> None:
    bad = write_checkpoint(tmp_path / "bad", {**fp8("m.b"), **bf16(NAME)}, mixed({"m.b": "FP8"}))
    good = write_checkpoint(tmp_path / "good", {**fp8("m.b")}, mixed({"m.b": "FP8"}))
    mapper = tmp_path / "rules.toml"
    mapper.write_text('[[rules]]\nkind = "regex"\nold = "(a+)+b"\nnew = "x"\n')
    done = run("check", bad, good, "--mapper", mapper)
    assert done.returncode == 2
    assert "last '(a+)+b'" in done.stderr
    assert "2 checkpoints: 1 not loaded, 1 failed" in done.stdout
