import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call

NANO_VL = DATA / "nanovl-mixed"


def test_the_matrix_shows_modules_by_release(call: Call) -> None:
    done = call("check", NANO_VL, "--runtime", "vllm==0.17.1", "--runtime", "vllm==0.22.5")
    assert done.returncode == 1
    header, *rows = done.stdout.partition("\n\n")[2].splitlines()
    assert header.split("  ")[0] == "module"
    assert "vllm 0.17.1" in header
    assert "vllm 0.22.5 (as 0.22.1)" in header
    (qkv,) = [row for row in rows if row.startswith("language_model.model.layers.3.mixer.qkv")]
    assert qkv.split() == [
        "language_model.model.layers.3.mixer.qkv_proj",
        "FP8",
        "unquantized",
        "!",
        "FP8",
    ]
    assert "vllm 0.17.1: 10 of 23 modules built in a different format than stored (CKF701)" in rows
    assert "vllm 0.22.5 (as 0.22.1): every module is built in its stored format" in rows
    assert rows[-1] == (
        f"{NANO_VL}: does not load on vllm 0.17.1; 10 errors; ckptfix rewrite repairs 10; "
        "vllm 0.22.5 is not known: this is the answer of 0.22.1"
    )


def test_a_release_that_maps_names_itself_makes_the_checkpoint_clean(call: Call) -> None:
    done = call("check", NANO_VL, "--runtime", "vllm>=0.20")
    assert done.returncode == 0
    assert done.stdout.endswith(f"{NANO_VL}: clean\n")


def test_json_holds_every_module(call: Call) -> None:
    done = call("check", NANO_VL, "--runtime", "sglang==0.5.23", "--json")
    assert done.returncode == 1
    (checked,) = json.loads(done.stdout)["checkpoints"]
    (release,) = checked["runtimes"]
    assert not checked["clean"]
    assert (release["runtime"], release["version"]) == ("sglang", "0.5.23")
    assert len(release["modules"]) == 23
    (module,) = [m for m in release["modules"] if not m["agrees"]]
    assert module["members"] == [
        f"language_model.backbone.layers.3.mixer.{part}_proj" for part in "qkv"
    ]
    assert (module["stored"], module["resolved"]) == ("FP8", "unquantized")


HEALTHY_IN_VLLM_0_33 = [
    name
    for name in FIXTURE_NAMES
    if name.startswith(("llama-fp8", "llama-nvfp4-", "qwen3moe", "nanovl", "old-0.4"))
    and name not in ("llama-nvfp4-awq", "llama-nvfp4-svd")
]


@pytest.mark.parametrize("name", HEALTHY_IN_VLLM_0_33)
def test_a_healthy_export_is_clean_for_a_release_that_loads_it(name: str, call: Call) -> None:
    assert call("check", FIXTURES / name, "--runtime", "vllm==0.33.0").returncode == 0


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("nanovl-mixed", "tgi", "--runtime tgi: unknown runtime"),
        ("nanovl-mixed", "vllm=1", "not a version specifier"),
    ],
)
def test_an_unknown_release(call: Call, name: str, spec: str, message: str) -> None:
    done = call("check", DATA / name, "--runtime", spec)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_release_without_the_architecture_answers_no(call: Call) -> None:
    done = call("check", DATA / "nanoomni-mixed-naive", "--runtime", "vllm==0.17.1", "--json")
    assert done.returncode == 1
    (release,) = json.loads(done.stdout)["checkpoints"][0]["runtimes"]
    assert release["loads"] == "no"
    (reason,) = release["reasons"]
    assert reason.startswith("does not register NemotronH_Nano_Omni_Reasoning_V3")


def test_whether_another_class_is_built_is_not_known(
    copy_of: Callable[[str], Path], call: Call
) -> None:
    directory = copy_of("nanoomni-mixed-naive")
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Omni"}
    (directory / "config.json").write_text(json.dumps(config))
    done = call("check", directory, "--runtime", "vllm==0.17.1")
    assert done.returncode == 1
    assert "vllm 0.17.1  unknown, does not register NemotronH_Nano_Omni" in done.stdout
    assert "not known whether it loads on vllm 0.17.1; --allow-unknown" in done.stdout
    (checked,) = json.loads(call("check", directory, "--json").stdout)["checkpoints"]
    assert {r["loads"] for r in checked["runtimes"] if r["version"] == "0.17.1"} == {"unknown"}


def test_resolve_shows_an_algorithm_for_the_whole_checkpoint(call: Call) -> None:
    done = call(
        "resolve", DATA / "llama-fp8-kv8", "lm_head", "*.0.*.qkv_proj", "--runtime", "vllm==0.33.0"
    )
    assert "    excluded? yes, by lm_head (exact)\n" in done.stdout
    assert "    excluded? no, none of 2 patterns matches\n" in done.stdout
    assert "    quant_algo? FP8 for the whole checkpoint, by config.json\n" in done.stdout


def test_resolve_of_a_module_that_nothing_has_names_the_nearest(call: Call) -> None:
    done = call("resolve", NANO_VL, "language_model.backbone.layers.0.mixer.in_prj")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "did you mean language_model.backbone.layers.0.mixer.in_proj" in done.stderr
