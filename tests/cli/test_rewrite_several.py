"""`rewrite` on several checkpoints, as JSON, and with a map that matches nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import Call, files_of

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "rewrite.schema.json").read_text())
RENAME = ("--map", "language_model.backbone=language_model.model")
CopyOf = Callable[[str], Path]


def report(call: Call, *arguments: object, exit_code: int = 0) -> dict[str, Any]:
    done = call("rewrite", *arguments, "--json")
    assert done.returncode == exit_code, done.stdout + done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(made, SCHEMA)
    assert made["exit_code"] == exit_code
    return made


def test_each_checkpoint_is_rewritten_for_itself(copy_of: CopyOf, call: Call) -> None:
    broken, healthy = copy_of("nanovl-mixed"), copy_of("llama-fp8-kv8")
    before = files_of(broken)
    done = call("rewrite", broken, "nowhere", healthy, broken)
    assert done.returncode == 2
    assert done.stderr.endswith("error: nowhere: no such directory\n")
    assert f"rewrote {broken}\n" in done.stdout
    *rows, empty, total = [" ".join(line.split()) for line in done.stdout.splitlines()][-5:]
    assert rows == [f"{broken} rewritten", "nowhere failed", f"{healthy} unchanged"]
    assert (empty, total) == ("", "3 checkpoints: 1 rewritten, 1 unchanged, 1 failed")
    assert call("rewrite", broken, healthy, "--undo").returncode == 2  # one has nothing to undo
    assert {k: v for k, v in files_of(broken).items() if k in before} == before


def test_an_output_is_for_one(copy_of: CopyOf, call: Call, tmp_path: Path) -> None:
    done = call("rewrite", copy_of("nanovl-mixed"), copy_of("nanovl-fp8"), "-o", tmp_path / "o")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --output takes one checkpoint")


def test_the_plan_and_its_result_as_json(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    (planned,) = report(call, directory, "--dry-run")["checkpoints"]
    assert files_of(directory) == before
    assert (planned["outcome"], planned["directory"]) == ("would be rewritten", None)
    assert planned["patch"].startswith("--- a/config.json\n")
    assert planned["findings_before"] == {"CKF101": 36}
    assert planned["findings_after"] == {}
    assert [file["renamed"] for file in planned["files"]] == [24, 12]
    report(call, directory, "--dry-run", "--exit-code", exit_code=1)

    (made,) = report(call, directory)["checkpoints"]
    assert (made["outcome"], made["directory"]) == ("rewritten", str(directory))
    assert made["undo"] == f"ckptfix rewrite {directory} --undo"
    same = ("files", "patch", "findings_before", "findings_after", "runtimes", "tensors")
    assert {key: made[key] for key in same} == {key: planned[key] for key in same}

    (checked,) = json.loads(call("check", directory, "--json").stdout)["checkpoints"]
    answers = {(r["runtime"], r["version"]): r["loads"] for r in checked["runtimes"]}
    for release in made["runtimes"]:
        assert answers[release["runtime"], release["version"]] == release["after"]["loads"]


def test_a_refusal_and_a_failure_as_json(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    call("rewrite", directory)
    nothing = ("--map", "language_model=lm")  # no tensor has such a name
    made = report(call, directory, "nowhere", *nothing, exit_code=2)
    refused, failed = made["checkpoints"]
    assert refused["outcome"] == "refused"
    assert refused["refusals"][0]["file"] == "config.json"
    assert (failed["outcome"], failed["error"]) == ("failed", "nowhere: no such directory")


def test_names_of_tensors_are_in_the_json(copy_of: CopyOf, call: Call) -> None:
    (planned,) = report(call, copy_of("nemotronh-moe-super-nulbug"), "--tensors", "--dry-run")[
        "checkpoints"
    ]
    assert planned["outcome"] == "would be rewritten"
    assert set(planned["tensors"]) == {"backbone.embedding.weight"}


@pytest.mark.parametrize("more", [(), ("--tensors",)], ids=["names", "tensors"])
def test_a_map_that_matches_nothing_is_reported(
    more: tuple[str, ...], copy_of: CopyOf, call: Call
) -> None:
    directory = copy_of("nanovl-mixed")
    done = call("rewrite", directory, "--map", "langauge_model=lm", *more)
    assert done.returncode == 1
    assert done.stderr == f"warning: {directory}: no name matches prefix langauge_model -> lm\n"
    (made,) = report(call, directory, "--map", "langauge_model=lm", *more, exit_code=1)[
        "checkpoints"
    ]
    assert (made["outcome"], made["unmatched"]) == ("unchanged", ["prefix langauge_model -> lm"])


def test_a_map_that_was_applied_before_is_no_mistake(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    for _ in range(2):
        done = call("rewrite", directory, *RENAME)
        assert (done.returncode, done.stderr) == (0, "")
    mistyped = call("rewrite", directory, *RENAME, "--map", "visoin=v")
    assert mistyped.returncode == 0  # the other rule is in place
    assert "no name matches prefix visoin -> v" in mistyped.stderr
