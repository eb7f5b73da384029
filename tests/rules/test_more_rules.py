"""Rules on patterns, banks, the KV cache, the two files, the index and draft layers."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.errors import CkptfixError
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, safetensors_bytes, write_checkpoint
from tests.conftest import check

QKV: Shapes = {f"l.0.attn.{p}.weight": ("BF16", (32, 32)) for p in ("q_proj", "k_proj", "v_proj")}
MLP: Shapes = {**fp8("l.0.mlp.up_proj"), **fp8("l.0.mlp.gate_proj"), **fp8("l.0.mlp.down_proj")}


def found(directory: Path) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for finding in check(directory):
        made.setdefault(finding.code, []).append(finding.subject)
    return made


def uniform(ignore: list[str], algo: str = "FP8", **more: Any) -> dict[str, Any]:
    return {"quant_algo": algo, "ignore": ignore, "quant_method": "modelopt", **more}


EXPERTS: Shapes = {
    **nvfp4("l.0.mlp.experts.0.up_proj"),
    **nvfp4("l.0.mlp.experts.1.up_proj"),
    **nvfp4("l.0.mlp.experts.2.up_proj"),
}
BANK = mixed({"l.0.mlp.experts": "NVFP4"})


def attention(layer: str, parts: str = "qkvo") -> Shapes:
    made: Shapes = {}
    for part in parts:
        made |= fp8(f"m.layers.{layer}.attn.{part}_proj")
    return made


def without(tensors: Shapes, *names: str) -> Shapes:
    return {name: row for name, row in tensors.items() if name not in names}


@pytest.mark.parametrize(
    ("tensors", "quantization", "expected"),
    [
        ({**QKV, **MLP}, uniform(["l.0.attn.qkv_proj"]), {"CKF102": ["l.0.attn.qkv_proj"]}),
        ({**QKV, **MLP}, uniform(["l.0.attn.q_proj", "l.0.attn*"]), {}),
        (
            {**QKV, **MLP},
            uniform([f"l.0.attn.{p}_proj" for p in ("q", "k", "v", "qkv")]),
            {},
        ),
        (  # read literally, so that no pattern excludes them
            {**QKV, **MLP},
            uniform(["re:l.*attn.*"]),
            {
                "CKF103": ["re:l.*attn.*"],
                "CKF206": [f"l.0.attn.{part}_proj" for part in "kqv"],
            },
        ),
        (
            {**MLP, **bf16("l.0.mlp.gate"), **bf16("l.1.b_proj")},
            uniform(["l.0.mlp.gate", "l.1*"]),
            {"CKF104": ["l.0.mlp.gate"]},
        ),
        (
            {**MLP, **bf16("l.1.b_proj"), **fp8("l.1.q_b_proj")},
            uniform(["b_proj"]),
            {"CKF104": ["b_proj"], "CKF206": ["l.1.b_proj"]},
        ),
        (
            {**MLP, **bf16("l.1.experts.0.w1"), **bf16("l.1.experts.1.w1")},
            uniform(["l.1.experts.0.w1", "l.1.experts.1.w1"]),
            {"CKF107": ["l.1.experts"]},
        ),
        (
            {**MLP, **bf16("l.1.experts.0.w1"), **bf16("l.1.experts.1.w1")},
            uniform(["l.1.experts.0.w1", "l.1.experts.1.w1", "l.1.experts"]),
            {},
        ),
        (
            {**bf16("l.0.mlp.up_proj"), **fp8("l.0.mlp.gate_proj")},
            mixed({"l.0.mlp.gate_proj": "FP8"}),
            {"CKF203": ["l.0.mlp.gate_up_proj"]},
        ),
        (EXPERTS, BANK, {}),
        (
            without(EXPERTS, "l.0.mlp.experts.1.up_proj.input_scale"),
            BANK,
            {"CKF208": ["l.0.mlp.experts.1.up_proj"], "CKF303": ["l.0.mlp.experts.1.up_proj"]},
        ),
        (
            {n: r for n, r in EXPERTS.items() if ".1." not in n},
            BANK,
            {"CKF208": ["l.0.mlp.experts.1"]},
        ),
        (
            {
                **EXPERTS,
                **{n.replace("up", "down"): r for n, r in EXPERTS.items() if ".2." not in n},
            },
            BANK,
            {"CKF208": ["l.0.mlp.experts.2.down_proj"]},
        ),
        (
            nvfp4("l.0.mlp.experts.gate_proj.42"),
            mixed({"l.0.mlp.experts": "NVFP4"}),
            {"CKF308": ["l.0.mlp.experts.gate_proj.42"]},
        ),
        (nvfp4("visual.fc", 4304, 64), uniform([], "NVFP4"), {"CKF310": ["visual.fc"]}),
        (nvfp4("visual.fc", 4352, 64), uniform([], "NVFP4"), {}),
        (
            {**fp8("l.0.attn.k_proj"), "l.0.attn.k_proj.k_scale": ("F32", ())},
            uniform([]),
            {"CKF402": ["config.json"]},
        ),
        (
            {
                **fp8("l.0.attn.k_proj"),
                "l.0.attn.k_proj.k_scale": ("F32", ()),
                "l.1.attn.k_proj.k_scale": ("F32", ()),
                "l.1.attn.v_proj.v_scale": ("F32", ()),
            },
            uniform([], kv_cache_scheme="FP8"),
            {"CKF403": ["l.0.attn"]},
        ),
        (
            {**fp8("l.0.attn.k_proj"), "l.0.attn.v_proj.v_scale": ("F32", ())},
            uniform([], kv_cache_scheme="FP8"),
            {"CKF403": ["l.0.attn"]},
        ),
        (
            {
                n: r
                for at in "012"
                for n, r in attention(at).items()
                if n not in attention("1", "o")
            },
            uniform([]),
            {"CKF209": ["m.layers.1.attn.o_proj"]},
        ),
        (
            {
                n.replace("1.attn.o_", "1.attn.xo_"): r
                for at in "012"
                for n, r in attention(at).items()
            },
            uniform([]),
            {"CKF209": ["m.layers.1.attn.o_proj"]},
        ),
        (  # two layers of three share keys and values: meant so
            {
                **attention("0"),
                **{n: r for at in "12" for n, r in attention(at, "qo").items()},
            },
            uniform([]),
            {},
        ),
        (
            {**MLP, **bf16("mtp.fc"), **bf16("mtp.layers.0.up")},
            uniform(["mtp.layers.0*"]),
            {"CKF601": ["mtp.fc"]},
        ),
    ],
)
def test_what_is_broken_is_found_and_nothing_else(
    tmp_path: Path, tensors: Shapes, quantization: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    assert found(write_checkpoint(tmp_path / "c", tensors, quantization)) == expected


def test_layers_behind_the_last_are_draft_layers(tmp_path: Path) -> None:
    tensors = {**fp8("model.layers.0.up"), **bf16("model.layers.1.eh_proj")}
    made = write_checkpoint(
        tmp_path / "c",
        tensors,
        uniform([]),
        extra_config={"num_hidden_layers": 1, "num_nextn_predict_layers": 1},
    )
    (finding,) = check(made)
    assert (finding.code, finding.subject) == ("CKF601", "model.layers.1.eh_proj")
    assert finding.advice == "`rewrite(from_tensors=True)` excludes model.layers.1*"


def test_draft_modules_that_no_class_looks_up_need_no_pattern(tmp_path: Path) -> None:
    draft = ("eh_proj", "mlp.gate", "self_attn.o_proj")
    tensors = {**fp8("model.layers.0.mlp.up_proj")}
    for name in draft:
        tensors |= bf16(f"model.layers.1.{name}")
    config = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "num_hidden_layers": 1,
        "num_nextn_predict_layers": 1,
    }
    made = write_checkpoint(tmp_path / "c", tensors, uniform([]), extra_config=config)
    named = [finding.subject for finding in check(made) if finding.code == "CKF601"]
    assert named == ["model.layers.1.self_attn.o_proj"]


def test_a_narrow_draft_pattern_is_named_in_the_advice(tmp_path: Path) -> None:
    tensors = {**MLP, **bf16("mtp.fc"), **bf16("mtp.layers.0.up")}
    (finding,) = check(write_checkpoint(tmp_path / "c", tensors, uniform(["mtp.layers.0*"])))
    assert finding.advice == "widen mtp.layers.0* to mtp*"


def test_announced_draft_layers_must_be_there(tmp_path: Path) -> None:
    config = {"text_config": {"num_hidden_layers": 1, "num_nextn_predict_layers": 1}}
    made = write_checkpoint(tmp_path / "c", MLP, uniform([]), extra_config=config)
    (finding,) = check(made)
    assert finding.code == "CKF602"
    assert str(finding.place) == "config.json /text_config/num_nextn_predict_layers"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"quant_algo": "FP8", "exclude_modules": ["l.0.attn*"]}, {}),
        ({"quant_algo": "NVFP4", "exclude_modules": ["l.0.attn*"]}, {"CKF501": ["config.json"]}),
        (
            {"quant_algo": "FP8", "exclude_modules": ["l.0.attn.q_proj", "l.0.attn.k_proj"]},
            {"CKF501": ["l.0.attn.v_proj"]},
        ),
        (
            {
                "quant_algo": "FP8",
                "exclude_modules": ["l.0.attn*"],
                "kv_cache_quant_algo": "FP8",
            },
            {"CKF401": ["config.json"]},
        ),
    ],
)
def test_the_two_files_declare_the_same(
    tmp_path: Path, other: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    made = write_checkpoint(tmp_path / "c", {**QKV, **MLP}, uniform(["l.0.attn*"]))
    (made / "hf_quant_config.json").write_text(json.dumps({"quantization": other}))
    wanted = {"CKF401", "CKF501"}
    assert {code: names for code, names in found(made).items() if code in wanted} == expected


def test_entries_of_the_two_files_are_compared_by_module(tmp_path: Path) -> None:
    tensors = {**fp8("l.0.up"), **fp8("l.0.down")}
    made = write_checkpoint(tmp_path / "c", tensors, mixed({"l.0": "FP8"}))
    names = {"l.0.up": {"quant_algo": "FP8"}, "l.0.down": {"quant_algo": "FP8"}}
    other: dict[str, Any] = {"quant_algo": "MIXED_PRECISION", "quantized_layers": names}
    (made / "hf_quant_config.json").write_text(json.dumps({"quantization": other}))
    assert found(made) == {}
    del names["l.0.down"]
    (made / "hf_quant_config.json").write_text(json.dumps({"quantization": other}))
    assert found(made) == {"CKF201": ["l.0.down"], "CKF501": ["l.0.down"]}


def index_of(directory: Path, total_size: int | None) -> None:
    index: dict[str, Any] = {"weight_map": dict.fromkeys(MLP, "model.safetensors")}
    if total_size is not None:
        index["metadata"] = {"total_size": total_size}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def test_the_index_has_the_real_sizes_and_files(tmp_path: Path) -> None:
    made = write_checkpoint(tmp_path / "c", MLP, uniform([]))
    size = sum(end - start for start, end in _offsets(made))
    index_of(made, size)
    assert found(made) == {}
    index_of(made, None)
    assert found(made) == {}
    index_of(made, size + 1)
    assert found(made) == {"CKF503": ["total_size"]}
    index_of(made, size)
    (made / "mtp.safetensors").write_bytes(safetensors_bytes(bf16("mtp.fc")))
    (made / "consolidated.safetensors").write_bytes(safetensors_bytes(bf16("mtp.fc")))
    assert found(made) == {"CKF504": ["mtp.safetensors"]}


def test_several_shard_files_without_an_index(tmp_path: Path) -> None:
    made = write_checkpoint(tmp_path / "c", MLP, uniform([]))
    part = made / "model-00001-of-00002.safetensors"
    (made / "model.safetensors").rename(part)
    (made / "model-00002-of-00002.safetensors").write_bytes(
        safetensors_bytes(fp8("l.1.mlp.up_proj"))
    )
    assert found(made) == {"CKF505": ["model.safetensors.index.json"]}
    part.unlink()
    with pytest.raises(CkptfixError, match="declare 2 shards, but only"):
        check(made)


def _offsets(directory: Path) -> list[tuple[int, int]]:
    data = (directory / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return [tuple(row["data_offsets"]) for name, row in header.items() if name != "__metadata__"]
