"""`check` on several checkpoints, and what it says in which format."""

import json
import shutil
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from ckptfix.cli.check import FormatOption
from ckptfix.report.formats import FORMATS
from tests.builders import fp8, mixed, write_checkpoint
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call, Run

NANO_VL = DATA / "nanovl-mixed"
HEALTHY = DATA / "llama-fp8-kv8"


def test_one_report_on_several_checkpoints(run: Run, tmp_path: Path) -> None:
    shutil.copytree(HEALTHY, tmp_path / "a")
    shutil.copytree(NANO_VL, tmp_path / "b")
    done = run("check", "a", "b", "a")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == ["a: clean", "== b"]
    assert [" ".join(line.split()) for line in lines[-7:]] == [
        "b: does not load on sglang 0.5.23; 38 errors; ckptfix rewrite repairs 37",
        "",
        "will it load vllm 0.33.0 sglang 0.5.23 findings",
        "a yes yes clean",
        "b yes no, 1 module 38",
        "",
        "2 checkpoints: 1 clean, 1 not loaded",
    ]


def test_an_unreadable_checkpoint_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    shutil.copytree(NANO_VL, tmp_path / "bad")
    (tmp_path / "bad" / "config.json").write_text('{"a": }')
    done = run("check", "bad", "nowhere", HEALTHY)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        (
            "error: bad/config.json:1:7: not valid JSON: expecting value; "
            "correct it there, or download the file again"
        ),
        "error: nowhere: no such directory",
    ]
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        f"{HEALTHY}: clean",
        "will it load vllm 0.33.0 sglang 0.5.23 findings",
        "bad - - check failed",
        "nowhere - - check failed",
        f"{HEALTHY} yes yes clean",
        "",
        "3 checkpoints: 1 clean, 2 failed",
    ]


def test_json_has_place_and_message(run: Run) -> None:
    done = run("check", NANO_VL, HEALTHY, "nowhere", "--json")
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert (report["schema"], report["exit_code"]) == (2, 2)
    broken, healthy, missing = report["checkpoints"]
    assert not broken["clean"]
    assert broken["counts"] == {"error": 38, "warning": 0}
    first = broken["findings"][0]
    assert (first["code"], first["file"]) == ("CKF101", "config.json")
    assert first["expected"] == first["subject"].replace("backbone", "model")
    assert first["modules"] == [first["subject"]]
    text = (NANO_VL / "config.json").read_text().splitlines()
    assert text[first["line"] - 1].strip().startswith(f'"{first["subject"]}"')
    assert (healthy["clean"], healthy["loads"]) == (True, "yes")
    assert (broken["loads"], missing["loads"]) == ("no", None)
    answers = {(r["runtime"], r["version"]): r for r in broken["runtimes"]}
    assert len(answers) > 10  # every known release
    assert [release for release, r in answers.items() if r["counts"]] == [
        ("vllm", "0.33.0"),
        ("sglang", "0.5.23"),
    ]
    assert answers["vllm", "0.33.0"]["loads"] == "yes"
    assert (answers["vllm", "0.17.1"]["loads"], answers["vllm", "0.17.1"]["effect"]) == (
        "no",
        "stops while loading",
    )
    assert missing["error"] == "nowhere: no such directory"
    assert not missing["clean"]


SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "check.schema.json").read_text())


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_the_json_of_every_fixture_fits_the_published_schema(name: str, call: Call) -> None:
    for more in ([], ["--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.10.post1"]):
        jsonschema.validate(
            json.loads(call("check", FIXTURES / name, "nowhere", "--json", *more).stdout), SCHEMA
        )


def test_the_published_schema_admits_nothing_else(call: Call) -> None:
    report = json.loads(call("check", NANO_VL, "--json").stdout)
    del report["checkpoints"][0]["findings"][0]["line"]
    report["checkpoints"][0]["more"] = 1
    problems = jsonschema.Draft202012Validator(SCHEMA).iter_errors(report)
    assert {problem.validator for problem in problems} == {"additionalProperties", "required"}


def test_a_module_wrong_in_a_release_is_a_finding_at_the_statement_that_decides(
    call: Call,
) -> None:
    specs = ("--runtime", "vllm==0.17.1", "--runtime", "sglang==0.5.23")
    (checked,) = json.loads(call("check", NANO_VL, *specs, "--json").stdout)["checkpoints"]
    wrong = {f["subject"]: f for f in checked["findings"]}
    # SGLang does not know the kinds of layers that transformers 5.14 writes.
    assert {f["code"] for f in wrong.values()} == {"CKF701", "CKF703"}
    o_proj = wrong["language_model.model.layers.3.mixer.o_proj"]
    assert o_proj["releases"] == ["vllm 0.17.1"]
    assert o_proj["pointer"] == (
        "/quantization_config/quantized_layers/language_model.backbone.layers.3.mixer.o_proj"
    )
    assert "vllm 0.17.1 builds it as unquantized" in o_proj["message"]


def test_a_release_that_refuses_the_metadata_is_a_finding(tmp_path: Path, run: Run) -> None:
    write_checkpoint(tmp_path / "c", fp8("model.a"), mixed({}) | {"quant_method": "modelopt"})
    done = run("check", "c", "--runtime", "vllm==0.33.0", "--json")
    (checked,) = json.loads(done.stdout)["checkpoints"]
    (refusal,) = (f for f in checked["findings"] if f["code"] == "CKF702")
    assert refusal["message"] == (
        "is rejected by vllm 0.33.0: MIXED_PRECISION without quantized_layers"
    )
    assert done.returncode == 1
    assert "(CKF702)" in run("check", "c", "--runtime", "vllm==0.33.0").stdout


def test_a_metadata_file_means_its_checkpoint(run: Run, tmp_path: Path) -> None:
    shutil.copytree(HEALTHY, tmp_path / "a")
    done = run("check", "a/config.json", "a/hf_quant_config.json", "a")
    assert done.stdout.endswith("\n\na: clean\n")
    assert done.stdout.count("Will it load?") == 1
    assert done.returncode == 0


def test_the_option_offers_the_table_of_formats() -> None:
    literal = get_args(get_args(FormatOption)[0])[0]
    assert get_args(literal) == tuple(FORMATS)
