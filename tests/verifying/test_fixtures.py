"""Real exports pass, and fail with any one companion tensor corrupted, as far as that is provable.

The default run takes a sample; `make verify-all` walks every fixture and every companion.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call, CopyOf, load
from tests.verifying.corruption import Corruption, Editor, every_corruption

SOURCE = DATA / "llama-kv8-only"
"""The unquantized weights that every `llama-*` fixture was made from."""
WRONG_AS_EXPORTED = {
    "old-0.27.0-qwen3moe-nvfp4": "gate and up of two experts have another weight_scale_2"
}
MAY_BE_MISSED = {
    ("input_scale", "x2"),
    ("input_scale", "swap"),
    ("k_scale", "x2"),
    ("k_scale", "swap"),
    ("v_scale", "x2"),
    ("v_scale", "swap"),
}
"""Scales of activations: no tensor says what they should be (docs/verify.md)."""
MAY_BE_MISSED_WITHOUT_SOURCE = MAY_BE_MISSED | {
    ("weight_scale", "x2"),
    ("weight_scale", "swap"),
    ("weight_scale_2", "x2"),
    ("weight_scale_2", "swap"),
    ("pre_quant_scale", "x2"),
    ("pre_quant_scale", "swap"),
    ("svdquant_lora_b", "x2"),
    ("svdquant_lora_b", "swap"),
}
FOLDED = ("llama-nvfp4-awq",)
"""Scales were folded into weights, so that most have no source to compare with."""


def verify(call: Call, directory: Path, *options: object) -> tuple[int, dict[str, Any]]:
    done = call("verify", directory, "--device", "cpu", "--all", "--json", *options)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def named(report: dict[str, Any]) -> set[str]:
    """Checkpoint modules that an error is about."""
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    return {module for finding in errors for module in finding["modules"]}


def passes(call: Call, name: str, *options: object) -> None:
    code, report = verify(call, FIXTURES / name, *options)
    if name in WRONG_AS_EXPORTED:
        assert {f["code"] for f in report["findings"]} == {"CKF805", "CKF811"}
        return
    assert code == 0, report["findings"]
    assert report["findings"] == []
    assert {gemm["how"] for gemm in report["gemms"]} <= {"native", "emulated"}
    quantized = sum(f.is_quantized for f in load(FIXTURES / name).formats.values())
    assert sum(len(gemm["members"]) for gemm in report["gemms"]) == quantized


def missed(
    call: Call, directory: Path, corruptions: Iterable[Corruption], *options: object
) -> Counter[tuple[str, str]]:
    """(role, kind) -> how often `verify` passed, or named none of the modules that are wrong."""
    checkpoint = load(directory)
    editor = Editor(directory, checkpoint)
    whole = {path: path.read_bytes() for path in directory.glob("*.safetensors")}
    found: Counter[tuple[str, str]] = Counter()
    for corruption in corruptions:
        wrong = editor.corrupt(corruption)
        if wrong:
            code, report = verify(call, directory, *options)
            found[corruption.role, corruption.kind] += not (code and named(report) & set(wrong))
        for path, data in whole.items():
            path.write_bytes(data)
    return found


def of_one_layer(directory: Path, *parts: str) -> list[Corruption]:
    """Of the first module of each of these names."""
    every = list(every_corruption(load(directory)))
    firsts = [next(c.module for c in every if c.module.endswith(part)) for part in parts]
    return [corruption for corruption in every if corruption.module in firsts]


@pytest.mark.parametrize(
    "name", ["nanovl-mixed-sharded-split", "nanoomni-mixed-naive", "recipe-nano4b-nvfp4_w4a16"]
)
def test_a_real_export_passes(name: str, call: Call) -> None:
    passes(call, name)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("llama-nvfp4-svd", "mlp.down_proj"),
        ("llama-int8-sq", "mlp.down_proj"),
        ("llama-fp8-kv8", "self_attn.k_proj"),
    ],
)
def test_with_the_source_only_scales_of_activations_are_beyond_proof(
    name: str, module: str, call: Call, copy_of: CopyOf
) -> None:
    directory = copy_of(name)
    corruptions = of_one_layer(directory, module)
    found = missed(call, directory, corruptions, "--source", SOURCE)
    assert {key for key, number in found.items() if number} <= MAY_BE_MISSED
    assert len(found) >= 8


def test_what_is_zero_or_not_a_number_is_always_found(call: Call, copy_of: CopyOf) -> None:
    directory = copy_of("llama128-w4a8-awq")
    found = missed(call, directory, of_one_layer(directory, "o_proj", "gate_proj"))
    assert {key for key, number in found.items() if number} <= MAY_BE_MISSED_WITHOUT_SOURCE


@pytest.mark.full
@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_export_passes(name: str, call: Call) -> None:
    passes(call, name)


@pytest.mark.full
@pytest.mark.parametrize("name", [n for n in FIXTURE_NAMES if n not in WRONG_AS_EXPORTED])
def test_every_corruption_is_found_as_far_as_the_tensors_prove_it(
    name: str, call: Call, copy_of: CopyOf
) -> None:
    directory = copy_of(name)
    found = missed(call, directory, every_corruption(load(directory)))
    assert {key for key, number in found.items() if number} <= MAY_BE_MISSED_WITHOUT_SOURCE


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FIXTURE_NAMES
        if name.startswith("llama-") and name not in (*FOLDED, "llama-fp8-skip-layer1", SOURCE.name)
    ],
)
def test_every_corruption_is_found_with_the_source(name: str, call: Call, copy_of: CopyOf) -> None:
    passes(call, name, "--source", SOURCE)
    directory = copy_of(name)
    found = missed(call, directory, every_corruption(load(directory)), "--source", SOURCE)
    assert {key for key, number in found.items() if number} <= MAY_BE_MISSED
