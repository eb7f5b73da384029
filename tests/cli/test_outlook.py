"""The first screen of `check` says whether it will load, and what to type."""

import json
from pathlib import Path

import pytest

from tests.builders import bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import DATA, FIXTURES, Call, Run

NANO_VL = DATA / "nanovl-mixed"
STOPS = "no, stops while loading: "
NO_MIXED = "quant_method modelopt does not support quant_algo MIXED_PRECISION"


def first_screen(call: Call, directory: Path, *arguments: str) -> list[str]:
    shown = call("check", directory, *arguments).stdout.partition("\n\n")[0]
    return [" ".join(line.split()) for line in shown.splitlines()]


def test_names_that_some_releases_miss(call: Call) -> None:
    assert first_screen(call, DATA / "nanovl-mixed") == [
        "Will it load? (names and formats only)",
        "vllm 0.20.0 to 0.33.0 yes",
        f"vllm 0.17.0 to 0.19.1 {STOPS}10 of 23 modules built in a different format than stored",
        f"vllm 0.15.0 to 0.16.0 {STOPS}{NO_MIXED}",
        f"sglang 0.5.13 to 0.5.23 {STOPS}1 of 23 modules built in a different format than stored",
        (
            f"sglang 0.5.10 to 0.5.12.post1 {STOPS}"
            "10 of 23 modules built in a different format than stored"
        ),
        f"sglang 0.5.8 to 0.5.9 {STOPS}MIXED_PRECISION for the whole checkpoint is not supported",
        "Next step",
        f"ckptfix rewrite {NANO_VL} # repairs the names; then it loads on vllm 0.17.0 to 0.19.1",
    ]


def test_the_requested_releases_and_no_others(call: Call) -> None:
    assert first_screen(call, DATA / "nanovl-mixed", "--runtime", "vllm==0.33.0") == [
        "Will it load? (names and formats only)",
        "vllm 0.33.0 yes",
        "Next step",
        f"vllm serve {DATA / 'nanovl-mixed'} # vllm 0.33.0",
    ]


def test_a_requested_release_that_fails_comes_first(call: Call) -> None:
    asked = ("--runtime", "vllm==0.17.1", "--runtime", "vllm==0.33.0")
    screen = first_screen(call, DATA / "nanovl-mixed", *asked)
    repair = f"ckptfix rewrite {DATA / 'nanovl-mixed'} {' '.join(asked)}"
    assert screen[-2] == f"{repair} # fixes what renaming can fix; then it loads on vllm 0.17.1"
    assert screen[-1].startswith(f"{repair} --overrides # or change nothing: ")


@pytest.mark.parametrize(
    ("name", "answer", "command"),
    [
        ("llama-fp8-kv8", "vllm 0.15.0 to 0.33.0 yes", "vllm serve"),
        (
            "llama-nvfp4-awq",
            f"vllm 0.15.0 to 0.33.0 {STOPS}NVFP4_AWQ for the whole checkpoint is not supported",
            "python -m sglang.launch_server --model-path",
        ),
        (
            "old-0.23.0-llama-mixed",
            "vllm 0.33.0 no, stops while loading: MIXED_PRECISION without quantized_layers",
            "ckptfix rewrite",
        ),
    ],
)
def test_one_command_to_type(call: Call, name: str, answer: str, command: str) -> None:
    screen = first_screen(call, FIXTURES / name)
    assert answer in screen
    assert screen[screen.index("Next step") + 1].startswith(command)


def test_each_runtime_that_loads_it_gets_its_command(call: Call) -> None:
    clean = DATA / "llama-fp8-kv8"
    screen = first_screen(call, clean)
    serve = f"python -m sglang.launch_server --model-path {clean} #"
    commands = screen[screen.index("Next step") + 1 :]
    assert [command.partition("# ")[2].split()[0] for command in commands] == ["vllm", "sglang"]
    assert commands[0].startswith(f"vllm serve {clean} # vllm 0.15.0 to ")
    assert commands[1].startswith(serve)
    # Oldest first, as requested; what is typed is for the newest.
    requested = first_screen(call, clean, "--runtime", "sglang", "--runtime", "vllm>=0.30")
    assert [line.partition(" #")[0] for line in requested[-2:]] == [
        serve.removesuffix(" #"),
        f"vllm serve {clean}",
    ]


def test_a_release_that_is_not_known_is_said_to_be_answered_as_another(call: Call) -> None:
    clean, newer = DATA / "llama-fp8-kv8", ("--runtime", "vllm==0.99.0")
    note = "vllm 0.99.0 is not known: this is the answer of 0.33.0"
    assert note in first_screen(call, clean, *newer)
    done = call("check", clean, *newer)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"{clean}: clean; {note}"
    broken = call("check", NANO_VL, "--runtime", "vllm==0.17.2").stdout.splitlines()[-1]
    assert broken.endswith("; vllm 0.17.2 is not known: this is the answer of 0.17.1")
    [checked] = json.loads(call("check", clean, "--json", *newer).stdout)["checkpoints"]
    assert [release["notes"] for release in checked["runtimes"]] == [[note]]
    known = call("check", clean, "--runtime", "vllm==0.33.0").stdout
    assert "is not known" not in known


def test_tensors_at_fault_load_nowhere(tmp_path: Path, call: Call) -> None:
    tensors = {**nvfp4("model.layers.0.mlp.down_proj"), **fp8("model.layers.0.self_attn.o_proj")}
    del tensors["model.layers.0.mlp.down_proj.weight_scale_2"]
    entries = mixed(
        {"model.layers.0.mlp.down_proj": "NVFP4", "model.layers.0.self_attn.o_proj": "FP8"},
        quant_method="modelopt",
    )
    screen = first_screen(call, write_checkpoint(tmp_path / "c", tensors, entries))
    assert f"vllm 0.17.0 to 0.33.0 {STOPS}the tensors themselves are wrong: CKF301" in screen
    assert screen[-1] == "nothing to run: no rewrite makes it load # see the findings below"


def test_an_architecture_whose_classes_were_not_read(tmp_path: Path, call: Call) -> None:
    tensors = {**fp8("model.a"), **bf16("lm_head")}
    made = write_checkpoint(
        tmp_path / "c", tensors, mixed({"model.a": "FP8"}), architecture="NobodyForCausalLM"
    )
    screen = first_screen(call, made)
    assert screen[1].startswith("vllm 0.15.0 to 0.33.0 no, stops while loading: does not register")
    assert screen[2].startswith("sglang 0.5.8 to 0.5.23 no, stops while loading: does not")
    assert call("check", made).returncode == 1


def test_what_is_not_known_is_not_red(tmp_path: Path, run: Run) -> None:
    made = write_checkpoint(
        tmp_path / "c",
        fp8("model.a"),
        mixed({"model.a": "FP8"}, quant_method="modelopt"),
        architecture="Starcoder2ForCausalLM",
    )
    done = run("check", made, "--runtime", "vllm==0.33.0", FORCE_COLOR="1")
    (row,) = (line for line in done.stdout.splitlines() if "unknown, how it lays out" in line)
    assert "\x1b[31m" not in row
    assert "nothing to run: no release is known to refuse it" in done.stdout
