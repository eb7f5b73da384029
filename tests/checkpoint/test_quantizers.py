"""What other quantizers than ModelOpt export: every module in its stored format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from ckptfix.operations.inspect import CodesSummary, Inspection, inspect
from tests.builders import Shapes, bf16, write_checkpoint
from tests.conftest import DATA, SHARED, Call

COPIES = DATA / "quantizers"
EXPORTS = SHARED / "quantizers" / "fixtures"
EVERY = sorted(p.parent for p in (EXPORTS if EXPORTS.is_dir() else COPIES).glob("*/config.json"))

INT4 = {"bits": 4, "kind": "int"}
PACKED = "8 in I32 along in"
# Stored format, group size, modules, codes.
EXPECTED: dict[str, list[tuple[str, int, int, dict[str, Any]]]] = {
    "ar-qwen25vl-awqfmt": [
        ("AWQ_INT4", 32, 14, INT4 | {"symmetric": True, "packing": "8 in I32 along out"})
    ],
    "ar-qwen25vl-w4a16": [
        ("GPTQ_INT4", 32, 14, INT4 | {"symmetric": True, "zero_points": True, "packing": PACKED})
    ],
    "bnb-qwen3moe-nf4": [("BNB_NF4", 64, 8, {"bits": 4, "kind": "float"})],
    "ct-qwen3moe-mixed": [
        ("INT4_PACKED", 32, 24, INT4 | {"symmetric": True, "zero_points": False}),
        ("FP8_CHANNEL", 0, 8, {"bits": 8, "packing": ""}),
    ],
    "qk-qwen3moe-mxfp4": [("mxfp4", 32, 8, {"bits": 4, "packing": "2 in U8 along in"})],
    "syn-gptq-qwen3vl-dynamic-anchored": [
        ("GPTQ_INT4", 32, 11, INT4 | {"activation_order": False}),
        ("GPTQ_INT8", 32, 3, {"bits": 8, "activation_order": False}),
    ],
    "syn-mxfp4-gptoss": [("MXFP4_BLOCKS", 32, 4, {"bits": 4})],
}


def quantized(inspected: Inspection) -> list[tuple[str, int, int, CodesSummary]]:
    rows = inspected.formats
    return [(r.stored_format, r.group_size, r.modules, r.codes) for r in rows if r.codes]


@pytest.mark.parametrize("name", EXPECTED)
def test_each_quantizers_modules_are_distinguished(name: str) -> None:
    found = quantized(inspect(COPIES / name))
    assert [row[:3] for row in found] == [row[:3] for row in EXPECTED[name]]
    for (*_, codes), (*_, expected) in zip(found, EXPECTED[name], strict=True):
        assert {key: getattr(codes, key) for key in expected} == expected


@pytest.mark.parametrize("directory", EVERY, ids=lambda path: path.name)
def test_nothing_is_unrecognized_and_everything_is_stated(directory: Path) -> None:
    inspected = inspect(directory)
    assert {row.stored_format for row in inspected.formats} <= {
        "unquantized",
        *(row.stored_format for row in inspected.formats if row.codes),
    }
    if directory.name != "ct-llama-attn-fp8":  # scales of the KV cache alone
        assert quantized(inspected)
    if directory.name == "fp8-qwen3vl-block-w64":
        return  # modules_to_not_convert says `visual`, which transformers quantized anyway
    for row in inspected.formats:
        assert not row.codes or sum(row.stated_in.values()) >= row.modules, row


UNREAD = [name for name in EXPECTED if not name.startswith("qk-") and "qwen3vl" not in name]


@pytest.mark.parametrize("name", UNREAD)
def test_a_release_whose_classes_were_not_read_has_no_answer(name: str) -> None:
    (answer,) = check(COPIES / name, runtimes=["vllm==0.16.0"]).runtimes
    assert answer.loads == "unknown"
    assert "is not known" in answer.reasons[0]


def write(tmp_path: Path, quantization: dict[str, Any], tensors: Shapes) -> Path:
    return write_checkpoint(tmp_path / "model", tensors, quantization)


GPTQ: Callable[[str], Shapes] = lambda name: {  # noqa: E731
    f"{name}.qweight": ("I32", (8, 64)),
    f"{name}.qzeros": ("I32", (1, 8)),
    f"{name}.scales": ("F16", (1, 64)),
    f"{name}.g_idx": ("I32", (64,)),
}


@pytest.mark.parametrize(("says", "declared"), [(True, True), (False, False), (None, None)])
def test_if_an_order_is_stored_the_metadata_declares_whether_it_counts(
    tmp_path: Path, says: bool | None, declared: bool | None
) -> None:
    metadata = {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": False}
    metadata |= {} if says is None else {"desc_act": says}
    directory = write(tmp_path, metadata, GPTQ("layers.0.mlp.up_proj"))
    ((_, size, _, codes),) = quantized(inspect(directory))
    assert size == 64
    assert (codes.symmetric, codes.activation_order) == (False, declared)


def test_a_rule_of_gptq_is_matched_from_the_start_in_order(tmp_path: Path) -> None:
    rules: dict[str, Any] = {"-:.*layers.1": {}, "+:.*up_proj": {"sym": False}, ".*": {"sym": True}}
    metadata = {"quant_method": "gptq", "bits": 4, "group_size": 64, "dynamic": rules}
    names = [f"layers.{n}.mlp.{p}_proj" for n in (0, 1) for p in ("up", "down")]
    tensors = {k: v for name in names for k, v in GPTQ(name).items()}
    rows = inspect(write(tmp_path, metadata, tensors)).formats
    shown = {(r.codes.symmetric, r.modules, sum(r.stated_in.values())) for r in rows if r.codes}
    # Of layer 1 the metadata says that it is not quantized, so nothing says whether it is
    # symmetric.
    assert shown == {(False, 1, 1), (True, 1, 1), (None, 2, 0)}


def test_an_expression_in_metadata_cannot_take_forever(tmp_path: Path, call: Call) -> None:
    rules: dict[str, Any] = {"+:(a|a)*$b": {}, "-:" + "(x+x+)+y" * 4: {}}
    name = "x" * 60
    metadata = {"quant_method": "gptq", "bits": 4, "group_size": 64, "dynamic": rules}
    directory = write(tmp_path, metadata, GPTQ(name) | bf16("lm_head"))
    done = call("inspect", directory)
    assert done.returncode == 2
    assert "matching regular expressions took more than" in done.stderr


@pytest.mark.parametrize(
    "metadata",
    [
        {"quant_method": "gptq", "bits": [4], "dynamic": ["a"]},
        {"quant_method": "auto-round", "bits": 4, "extra_config": {"a": 3}},
        {"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": "Linear"}}},
        {"quant_method": "compressed-tensors", "config_groups": 3, "ignore": "lm_head"},
        {"quant_method": "quark", "exclude": "lm_head", "layer_quant_config": {"a": []}},
        {"quant_method": "awq", "bits": 4, "modules_to_not_convert": "lm_head"},
        {"quant_method": "fp8", "ignored_layers": {"a": 1}},
        {"quant_method": "bitsandbytes", "llm_int8_skip_modules": 7},
        {"quant_method": "mxfp4", "modules_to_not_convert": [1]},
    ],
    ids=lambda metadata: str(metadata["quant_method"]),
)
def test_a_field_of_another_type_is_a_finding_not_a_failure(
    tmp_path: Path, call: Call, metadata: dict[str, Any]
) -> None:
    directory = write(tmp_path, metadata, GPTQ("layers.0.mlp.up_proj"))
    done = call("check", directory, "--format", "json")
    (found,) = json.loads(done.stdout)["checkpoints"]
    codes = {finding["code"] for finding in found["findings"]}
    assert codes & {"CKF506"} or metadata.get("bits") == [4], found
    assert call("inspect", directory).returncode == 0


def mlx(name: str) -> Shapes:
    return {
        f"{name}.weight": ("U32", (64, 8)),
        f"{name}.scales": ("BF16", (64, 1)),
        f"{name}.biases": ("BF16", (64, 1)),
    }


def test_mlx_is_known_by_its_sizes_and_a_module_may_have_its_own(tmp_path: Path) -> None:
    tensors = mlx("layers.0.mlp.up_proj") | mlx("layers.0.mlp.down_proj") | bf16("lm_head")
    tensors["layers.0.mlp.down_proj.weight"] = ("U32", (64, 16))
    own = {"layers.0.mlp.down_proj": {"group_size": 64, "bits": 8}, "lm_head": False}
    write_checkpoint(tmp_path, tensors, {"group_size": 64, "bits": 4} | own)
    found = quantized(inspect(tmp_path))
    assert sorted(row[:3] for row in found) == [("MLX_INT4", 64, 1), ("MLX_INT8", 64, 1)]
    assert inspect(tmp_path).producer == "MLX"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["quantization_config"].pop("bits")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert inspect(tmp_path).producer != "MLX"


def test_a_rewrite_leaves_metadata_that_declares_what_is_stored(call: Call) -> None:
    done = call("rewrite", COPIES / "ct-qwen3moe-mixed", "--dry-run")
    assert done.returncode == 0
    assert "nothing to rename" in done.stderr


def test_a_file_of_its_own_names_the_quantizer_where_config_json_does_not(tmp_path: Path) -> None:
    directory = write(tmp_path, {}, GPTQ("layers.0.mlp.up_proj"))
    config = json.loads((directory / "config.json").read_text())
    del config["quantization_config"]
    (directory / "config.json").write_text(json.dumps(config))
    own = {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True, "desc_act": False}
    (directory / "quantize_config.json").write_text(json.dumps(own))
    (row,) = inspect(directory).formats
    assert row.stated_in == {"quantize_config.json/bits": 1}
