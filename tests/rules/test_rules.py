"""Each rule on a checkpoint that breaks it and on one that does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptfix.rules.registry import RULES
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, safetensors_bytes, write_checkpoint
from tests.conftest import FIXTURES, check


def codes(directory: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in check(directory):
        found.setdefault(finding.code, []).append(finding.subject)
    return found


MODEL: Shapes = {
    **fp8("model.a"),
    **nvfp4("model.b"),
    **bf16("lm_head"),
    **bf16("model.embed_tokens"),
}
HEALTHY = mixed({"model.a": "FP8", "model.b": "NVFP4"})


def test_a_healthy_checkpoint_has_no_findings(tmp_path: Path) -> None:
    assert codes(write_checkpoint(tmp_path, MODEL, HEALTHY)) == {}


UNIFORM = {"quant_algo": "FP8", "ignore": ["lm_head"]}
FP8_MODEL: Shapes = {**fp8("model.a"), **bf16("lm_head"), **bf16("model.embed_tokens")}


@pytest.mark.parametrize(
    ("tensors", "quantization", "expected"),
    [
        (MODEL, mixed({"model.a": "FP8"}), {"CKF201": ["model.b"]}),
        (
            MODEL,
            mixed({"model.a": "FP8", "model.b": "NVFP4", "model.c": "FP8"}),
            {"CKF105": ["model.c"]},
        ),
        (MODEL, HEALTHY | {"ignore": ["odel.a"]}, {"CKF104": ["odel.a"]}),
        # No runtime asks for a table, so nothing follows from how far the pattern reaches.
        (MODEL, HEALTHY | {"ignore": ["model.embed_token"]}, {}),
        # Draft layers that the checkpoint does not have may be excluded.
        (MODEL, HEALTHY | {"ignore": ["mtp*", "mtp.layers.0*"]}, {}),
        (MODEL, HEALTHY | {"ignore": ["model.b*"]}, {"CKF205": ["model.b"]}),
        (MODEL, mixed({"model.a": "FP8", "model.b": "FP8"}), {"CKF303": ["model.b"]}),
        (MODEL, HEALTHY | {"config_groups": {"g": {"targets": ["Linear"]}}}, {}),
        (
            MODEL,
            HEALTHY | {"config_groups": {"g": {"targets": ["model.x"]}}},
            {"CKF105": ["model.x"]},
        ),
        (
            MODEL,
            mixed({"model.a": "FP8", "model.b": "NVFP4", "lm_head": "FP8"}),
            {"CKF302": ["lm_head"]},
        ),
        (
            MODEL,
            mixed({"model.a": "FP8", "model.b": "NVFP4", "mo\x00del.a": "FP8"}),
            {"CKF108": ["mo\x00del.a"]},
        ),
        (
            {**fp8("model.a", input_scale=False), **nvfp4("model.b")},
            HEALTHY,
            {"CKF306": ["model.a"]},
        ),
        (
            {**MODEL, "model.b.weight_scale": ("F8_E4M3", (32, 1))},
            HEALTHY,
            {"CKF303": ["model.b"]},  # half the width is the layout of W4A8_NVFP4_FP8
        ),
        (
            {k: v for k, v in MODEL.items() if k != "model.b.weight_scale_2"},
            HEALTHY,
            {"CKF301": ["model.b"]},
        ),
        (
            MODEL,
            HEALTHY
            | {
                "quantized_layers": HEALTHY["quantized_layers"]
                | {"model.b": {"quant_algo": "NVFP4", "group_size": 32}}
            },
            {"CKF304": ["model.b"]},
        ),
        (FP8_MODEL, UNIFORM, {}),
        (FP8_MODEL, {"quant_algo": "FP8", "ignore": []}, {"CKF206": ["lm_head"]}),
        (FP8_MODEL, UNIFORM | {"ignore": ["lm_head", "model.a"]}, {"CKF205": ["model.a"]}),
        (FP8_MODEL, UNIFORM | {"quant_algo": "NVFP4"}, {"CKF303": ["model.a"]}),
        (
            FP8_MODEL,
            UNIFORM | {"ignore": "lm_head", "group_size": "16"},
            {
                "CKF206": ["lm_head"],
                "CKF506": ["/quantization_config/ignore", "/quantization_config/group_size"],
            },
        ),
        (FP8_MODEL, {"quant_algo": None, "quantized_layers": {}}, {"CKF201": ["model.a"]}),
        (FP8_MODEL, {"quant_algo": "MIXED_PRECISION"}, {"CKF207": ["config.json"]}),
        (FP8_MODEL, None, {"CKF207": ["config.json"]}),
    ],
)
def test_what_is_broken_is_found_and_nothing_else(
    tmp_path: Path,
    tensors: Shapes,
    quantization: dict[str, Any] | None,
    expected: dict[str, list[str]],
) -> None:
    assert codes(write_checkpoint(tmp_path, tensors, quantization)) == expected


@pytest.mark.parametrize(
    ("tied", "expected"), [({}, {}), ({"tie_word_embeddings": False}, {"CKF105": ["lm_head"]})]
)
def test_a_tied_head_may_be_excluded_though_it_is_not_stored(
    tmp_path: Path, tied: dict[str, bool], expected: dict[str, list[str]]
) -> None:
    write_checkpoint(tmp_path, fp8("model.a"), UNIFORM, extra_config=tied)
    assert codes(tmp_path) == expected


def test_a_container_entry_applies_to_its_experts(tmp_path: Path) -> None:
    tensors = {**nvfp4("m.experts.0.up"), **nvfp4("m.experts.1.up"), **bf16("m.gate")}
    assert codes(write_checkpoint(tmp_path, tensors, mixed({"m.experts": "NVFP4"}))) == {}
    tensors |= fp8("m.experts.2.up")
    assert codes(write_checkpoint(tmp_path, tensors, mixed({"m.experts": "NVFP4"}))) == {
        "CKF208": ["m.experts.2.up"],
        "CKF303": ["m.experts.2.up"],
    }


def nano_vl(edit: Callable[[str], str], tmp_path: Path) -> Path:
    source = FIXTURES / "nanovl-mixed"
    for file in source.iterdir():
        data = file.read_bytes()
        if file.suffix == ".json":
            data = edit(data.decode()).encode()
        (tmp_path / file.name).write_bytes(data)
    return tmp_path


def test_nano_vl_is_spelled_for_the_checkpoint(tmp_path: Path) -> None:
    findings = check(nano_vl(lambda text: text, tmp_path))
    assert {finding.code for finding in findings} == {"CKF101"}
    assert len(findings) == 36  # 12 modules in quantized_layers twice and in targets
    first = findings[0]
    assert first.expected == first.subject.replace("backbone", "model")
    assert "vllm<0.20.0" in first.message


def test_nano_vl_in_the_runtimes_spelling_is_clean(tmp_path: Path) -> None:
    new = "language_model.model."
    assert codes(nano_vl(lambda t: t.replace("language_model.backbone.", new), tmp_path)) == {}


def test_index_and_headers_that_disagree(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, FP8_MODEL, UNIFORM)
    (tmp_path / "model.safetensors").rename(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(safetensors_bytes(bf16("model.norm", 8)))
    weight_map = dict.fromkeys(FP8_MODEL, "x.safetensors")
    weight_map |= {"lm_head.weight": "y.safetensors", "gone": "x.safetensors"}
    index = {"weight_map": weight_map}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert codes(tmp_path) == {
        "CKF502": ["lm_head.weight", "gone"],
        "CKF507": ["y.safetensors"],
    }


def test_an_index_without_scales_is_one_warning_for_each_file(tmp_path: Path) -> None:
    """Runtimes take the names of files from it and read what is in them."""
    write_checkpoint(tmp_path, FP8_MODEL, UNIFORM)
    (tmp_path / "model.safetensors").rename(tmp_path / "x.safetensors")
    weights = [name for name in FP8_MODEL if name.endswith("weight")]
    index = {"weight_map": dict.fromkeys(weights, "x.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (finding,) = check(tmp_path)
    assert (finding.code, finding.subject) == ("CKF507", "x.safetensors")
    assert "contains 2 tensors that the index does not list" in finding.message
    assert not finding.rule.blocks_loading


def test_a_second_copy_of_a_tensor_that_the_index_places_elsewhere(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, FP8_MODEL, UNIFORM)
    (tmp_path / "model.safetensors").rename(tmp_path / "x.safetensors")
    copy = bf16("lm_head") | bf16("model.norm", 8)
    (tmp_path / "y.safetensors").write_bytes(safetensors_bytes(copy))
    weight_map = dict.fromkeys(FP8_MODEL, "x.safetensors") | {"model.norm.weight": "y.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert codes(tmp_path) == {"CKF502": ["lm_head.weight"]}


def test_every_rule_explains_why_and_how_to_fix() -> None:
    for code, rule in RULES.items():
        assert code == rule.code
        assert rule.why.endswith(".")
        assert rule.fix.endswith(".")
        assert not rule.title.endswith(".")
