"""The formats for machines, against their published schemas and as their readers take them."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import xmlschema

import ckptfix
from ckptfix.report.check_report import CheckReport
from ckptfix.report.check_sarif import check_sarif
from ckptfix.report.console import plain
from ckptfix.rules.registry import RULES
from tests.builders import Shapes, fp8, mixed, write_checkpoint, write_llama_with_a_warning
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call, Run

ROOT = Path(__file__).parents[2]
NANO_VL = DATA / "nanovl-mixed"
NAMES = ("--ignore", "CKF7")
RELEASES = ("--runtime", "vllm==0.17.1", "--runtime", "sglang==0.5.23")
SARIF = jsonschema.Draft4Validator(
    json.loads((DATA / "schemas" / "sarif-2.1.0-rtm.5.json").read_text())
)
JUNIT = xmlschema.XMLSchema(str(DATA / "schemas" / "junit-10.xsd"))


def results(stdout: str) -> list[dict[str, Any]]:
    (run,) = json.loads(stdout)["runs"]
    made: list[dict[str, Any]] = run["results"]
    return made


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_fixture_gives_valid_sarif_and_junit(name: str, call: Call) -> None:
    for more in ((), (*RELEASES, "--verbose")):
        done = call("check", FIXTURES / name, "nowhere", *more, "--format", "sarif")
        assert list(SARIF.iter_errors(json.loads(done.stdout))) == []
        done = call("check", FIXTURES / name, "nowhere", *more, "--format", "junit")
        JUNIT.validate(done.stdout)


def test_sarif_leads_to_the_line_the_modules_and_the_rule(call: Call) -> None:
    (result,) = results(call("check", NANO_VL, *NAMES, "--format", "sarif").stdout)
    (location,) = result["locations"]
    physical = location["physicalLocation"]
    path = Path(physical["artifactLocation"]["uri"])
    line = path.read_text().splitlines()[physical["region"]["startLine"] - 1]
    assert path == (NANO_VL / "config.json").relative_to(Path.cwd())
    assert '"language_model.backbone.layers.0.mixer.in_proj"' in line
    assert result["level"] == "error"
    assert result["properties"]["findings"] == 36
    modules = [logical["fullyQualifiedName"] for logical in location["logicalLocations"]]
    assert len(modules) == 12
    assert "language_model.backbone.layers.4.mixer.up_proj" in modules
    assert [
        related["physicalLocation"]["artifactLocation"]["uri"].rpartition("/")[2]
        for related in result["relatedLocations"]
    ] == ["config.json", "config.json", "hf_quant_config.json"]
    assert "{" not in result["message"]["text"]


def test_sarif_leads_to_both_files_where_two_disagree(tmp_path: Path, call: Call) -> None:
    write_checkpoint(tmp_path, fp8("model.a"), {"quant_algo": "FP8"})
    hf_quant = {"quantization": {"quant_algo": "NVFP4"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(hf_quant, indent=2))
    (result,) = results(call("check", tmp_path, "--select", "CKF501", "--format", "sarif").stdout)
    (related,) = result["relatedLocations"]
    assert related["message"]["text"] == "declares NVFP4"
    physical = related["physicalLocation"]
    assert physical["artifactLocation"]["uri"].endswith("/hf_quant_config.json")
    assert physical["region"]["startLine"] == 2


@pytest.mark.parametrize("arguments", [(), ("--runtime", "vllm==0.17.1")])
def test_sarif_has_the_proved_rewrite_as_edits(
    arguments: tuple[str, ...], tmp_path: Path, call: Call
) -> None:
    """Carried out as SARIF says, the replacements give the files that `rewrite` writes."""
    made = Path(shutil.copytree(NANO_VL, tmp_path / "made"))
    report = json.loads(call("check", made, *arguments, "--format", "sarif").stdout)
    assert list(SARIF.iter_errors(report)) == []
    (run,) = report["runs"]
    assert run["automationDetails"] == {"id": "ckptfix/check/"}
    (fix,) = [fix for result in run["results"] for fix in result.get("fixes", ())]
    assert fix["description"]["text"].startswith(f"ckptfix rewrite {made}")
    expected = Path(shutil.copytree(NANO_VL, tmp_path / "expected"))
    assert call("rewrite", expected, *arguments).returncode == 0
    changed = {change["artifactLocation"]["uri"]: change for change in fix["artifactChanges"]}
    assert {Path(uri).name for uri in changed} == {"config.json", "hf_quant_config.json"}
    for uri, change in changed.items():
        lines = (made / Path(uri).name).read_text().split("\n")
        for replacement in reversed(change["replacements"]):
            region = replacement["deletedRegion"]
            inserted = replacement["insertedContent"]["text"].split("\n")
            lines[region["startLine"] - 1 : region["endLine"]] = inserted
        assert "\n".join(lines) == (expected / Path(uri).name).read_text()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("inspect", ("nanovl-mixed",)),
        ("inspect", ("llama-fp8-kv8",)),
        ("compare", ("nanovl-mixed", "nanovl-fp8")),
    ],
)
def test_the_documented_schema_holds(command: str, arguments: tuple[str, ...], call: Call) -> None:
    done = call(command, *(DATA / name for name in arguments), "--json")
    schema = json.loads((ROOT / "docs" / f"{command}.schema.json").read_text())
    jsonschema.validate(json.loads(done.stdout), schema)


def test_sarif_names_every_rule_with_its_help(call: Call) -> None:
    (run,) = json.loads(call("check", NANO_VL, *NAMES, "--format", "sarif").stdout)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rule["help"]["markdown"] and rule["fullDescription"]["text"] for rule in rules)
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "CKF101"


def test_a_file_outside_the_working_directory_gets_an_absolute_uri(run: Run) -> None:
    (result,) = results(run("check", NANO_VL, *NAMES, "--format", "sarif").stdout)
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == (NANO_VL / "config.json").as_uri()


def fingerprints(stdout: str) -> list[str]:
    return [r["partialFingerprints"]["primaryLocationLineHash"] for r in results(stdout)]


def test_fingerprints_distinguish_results_and_survive_a_moved_line(
    tmp_path: Path, run: Run
) -> None:
    layers = {f"model.layers.{i}.q": "FP8" for i in range(20)}
    tensors: Shapes = {k: v for name in layers for k, v in fp8(name, input_scale=False).items()}
    quantization = mixed({**layers, "model.x": "FP8", "model.y": "FP8"})
    directory = write_checkpoint(tmp_path / "c", tensors, quantization)
    arguments = ("check", "c", *NAMES, "--format", "sarif")
    before = fingerprints(run(*arguments).stdout)
    assert len(set(before)) == len(before) == 2
    config = directory / "config.json"
    config.write_text("{\n\n\n" + config.read_text()[1:])
    assert fingerprints(run(*arguments).stdout) == before
    unfolded = fingerprints(run(*arguments, "--verbose").stdout)
    assert len(set(unfolded)) == len(unfolded) == 22


def test_thousands_of_similar_findings_are_one_result(tmp_path: Path, run: Run) -> None:
    layers = {f"model.layers.{i}.q": "FP8" for i in range(3000)}
    directory = write_checkpoint(
        tmp_path / "c", fp8("model.a"), mixed({"model.a": "FP8", **layers})
    )
    (result,) = results(run("check", directory, *NAMES, "--format", "sarif").stdout)
    assert result["properties"]["findings"] == 3000
    assert "model.layers.[0-2999].q" in result["message"]["text"]
    github = run("check", directory, *NAMES, "--format", "github").stdout.splitlines()
    assert len(github) == 2  # and whether it loads


def test_what_a_release_would_do_is_in_every_format(call: Call) -> None:
    sarif = results(call("check", NANO_VL, *RELEASES, "--format", "sarif").stdout)
    assert {result["ruleId"] for result in sarif} == {"CKF701", "CKF703"}
    assert {tuple(result["properties"]["releases"]) for result in sarif} == {
        ("vllm 0.17.1",),
        ("sglang 0.5.23",),
    }
    github = call("check", NANO_VL, *RELEASES, "--format", "github").stdout
    assert github.count("::error file=") == len(sarif)
    assert "title=CKF701" in github
    assert f"::notice title={NANO_VL}%3A does not load on vllm 0.17.1 and sglang 0.5.23::" in github
    suite = ET.fromstring(call("check", NANO_VL, *RELEASES, "--format", "junit").stdout)[0]
    cases = {case.get("name"): case for case in suite}
    failed = cases["vllm 0.17.1 loads it"].find("failure")
    assert failed is not None
    assert failed.get("type") == "CKF701"
    assert failed.get("message", "").startswith("no, stops while loading: 10 of 23 modules")
    (log,) = json.loads(call("check", NANO_VL, *RELEASES, "--format", "sarif").stdout)["runs"]
    answers = [(a["version"], a["loads"], a["effect"]) for a in log["properties"]["runtimes"]]
    assert answers == [(v, "no", "stops while loading") for v in ("0.17.1", "0.5.23")]


def test_what_is_not_known_fails_unless_it_is_allowed(
    copy_of: Callable[[str], Path], call: Call
) -> None:
    directory = copy_of("nanoomni-mixed-naive")
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Omni"}  # a class that a release may find there
    (directory / "config.json").write_text(json.dumps(config))
    arguments = ("check", directory, "--runtime", "vllm==0.17.1", "--ignore", "CKF", "--format")
    suite = ET.fromstring(call(*arguments, "junit").stdout)[0]
    (failed,) = (case for case in suite if case.find("failure") is not None)
    assert failed.get("name") == "vllm 0.17.1 loads it"
    assert call(*arguments, "github").stdout.startswith("::error title=")
    done = call(*arguments, "junit", "--allow-unknown")
    assert done.returncode == 0
    JUNIT.validate(done.stdout)
    suite = ET.fromstring(done.stdout)[0]
    assert (suite.get("skipped"), suite.get("failures")) == ("1", "0")
    assert call(*arguments, "github", "--allow-unknown").stdout.startswith("::notice title=")


NASTY = "m%a\r\nb]]>&<x,y:z\x1b\x00\ud800"


def test_github_data_cannot_break_out_of_its_command(tmp_path: Path, run: Run) -> None:
    directory = tmp_path / "50%, a:b\n::stop-commands::x"
    write_checkpoint(directory, fp8("m.a"), mixed({"m.a": "FP8", NASTY: "FP8"}))
    done = run("check", directory.name, "no\nwhere", *NAMES, "--format", "github")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("::error ") for line in lines)
    assert "file=50%25%2C a%3Ab%0A%3A%3Astop-commands%3A%3Ax/config.json,line=" in lines[0]
    properties = re.match(r"::error ([^:]*)::", lines[0])
    assert properties is not None
    assert [p.partition("=")[0] for p in properties.group(1).split(",")] == [
        "file",
        "line",
        "title",
    ]


def test_names_that_xml_or_json_cannot_hold_are_escaped(tmp_path: Path, run: Run) -> None:
    write_checkpoint(tmp_path / "c", fp8("m.a"), mixed({"m.a": "FP8", NASTY: "FP8"}))
    done = run("check", "c", "--format", "junit")
    JUNIT.validate(done.stdout)
    assert r"b]]&gt;&amp;&lt;x,y:z\x1b\x00\ud800" in done.stdout
    sarif = run("check", "c", "--format", "sarif")
    assert list(SARIF.iter_errors(json.loads(sarif.stdout))) == []
    report = json.loads(run("check", "c", "--json").stdout)
    assert report["checkpoints"][0]["findings"][0]["subject"] == NASTY


def test_a_warning_that_does_not_fail_the_call_passes_in_junit(tmp_path: Path, run: Run) -> None:
    write_llama_with_a_warning(tmp_path / "c")
    strict = run("check", "c", "--format", "junit")
    assert strict.returncode == 1
    assert 'failures="1"' in strict.stdout
    mild = run("check", "c", "--format", "junit", "--fail-on", "error")
    assert mild.returncode == 0
    assert 'failures="0"' in mild.stdout
    assert "<system-out>total_size: " in mild.stdout


def test_a_report_goes_to_a_file_whole_or_not_at_all(tmp_path: Path, run: Run) -> None:
    target = tmp_path / "report.sarif"
    target.write_text("old")
    target.chmod(0o640)
    done = run("check", NANO_VL, "nowhere", *NAMES, "--format", "sarif", "--output-file", target)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: nowhere: no such directory\n"
    assert len(results(target.read_text())) == 1
    assert target.stat().st_mode & 0o777 == 0o640
    text = tmp_path / "report.txt"
    run("check", NANO_VL, "--output-file", text, FORCE_COLOR="1")
    assert "\x1b" not in text.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.sarif", "report.txt"]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no/where", "does not exist; create it first"),
        (".", "not a regular file"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_a_report_file_that_cannot_be(run: Run, target: str, complaint: str) -> None:
    done = run("check", NANO_VL, "--output-file", target)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --output-file {target}: ")
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_reworded_message_keeps_its_fingerprint() -> None:
    checked = ckptfix.check(NANO_VL, runtimes=["vllm==0.17.1"])
    found = (replace(f, message=f"{f.message}!", advice=f"{f.advice}!") for f in checked.findings)
    reworded = replace(checked, findings=tuple(found))
    before, after = (
        fingerprints("".join(map(plain, check_sarif(report_on(one), False))))
        for one in (checked, reworded)
    )
    assert before == after
    assert len(set(before)) == len(before) > 1


def report_on(checked: ckptfix.CheckedCheckpoint) -> CheckReport:
    return CheckReport((checked,), ckptfix.Severity.WARNING, Path.cwd())
