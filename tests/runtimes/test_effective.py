"""Which object of the metadata decides, and what a release does with null, strings and gaps."""

import json
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.foreign import NotModelOptError
from ckptfix.runtimes.common.layer_maps import HF_QUANT_FILE
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.reading import read_metadata
from tests.builders import bf16, fp8, write_checkpoint
from tests.conftest import DATA, load

TENSORS = {**fp8("model.layers.0.mlp.down_proj"), **bf16("lm_head")}
DOWN = "model.layers.0.mlp.down_proj"
MAP = {DOWN: {"quant_algo": "NVFP4", "group_size": 16}}
PRODUCER = {"producer": {"name": "modelopt", "version": "0.47.0"}}
FP8: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
NVFP4 = FP8 | {"quant_algo": "NVFP4", "group_size": 16}
MIXED = FP8 | {"quant_algo": "MIXED_PRECISION", "quantized_layers": MAP, "kv_cache_scheme": None}
WRAPPED = {"quant_algo": "NVFP4", "group_size": 16, "kv_cache_quant_algo": None}
WRAPPED_NVFP4: dict[str, Any] = {
    **PRODUCER,
    "quantization": {**WRAPPED, "exclude_modules": ["lm_head"]},
}


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {k: v for k, v in value.items() if k not in keys}


def read(directory: Path, release: str) -> EffectiveMetadata:
    runtime, _, version = release.partition("==")
    checkpoint = load(directory)
    (architecture,) = checkpoint.config.architectures
    return read_metadata(checkpoint, load_profile(runtime, version), architecture)


def made(directory: Path, config: object, file: object = None, **more: object) -> Path:
    extra: dict[str, Any] = dict(more)
    if config is not None:
        extra["quantization_config"] = config
    write_checkpoint(directory, TENSORS, extra_config=extra)
    if file is not None:
        (directory / HF_QUANT_FILE).write_text(json.dumps(file))
    return directory


@pytest.mark.parametrize(
    ("name", "release", "file", "entries"),
    [
        ("nanovl-mixed", "vllm==0.33.0", CONFIG_FILE, 12),
        ("nanovl-mixed", "sglang==0.5.23", CONFIG_FILE, 12),
        ("llama-fp8-kv8", "vllm==0.33.0", CONFIG_FILE, 0),
        ("llama-fp8-kv8", "sglang==0.5.23", CONFIG_FILE, 0),
    ],
)
def test_the_file_that_decides(name: str, release: str, file: str, entries: int) -> None:
    metadata = read(DATA / name, release)
    assert metadata.file == file
    assert len(metadata.entries) == entries


def test_a_mixed_config_without_a_map_leaves_it_to_the_other_file(tmp_path: Path) -> None:
    file = {**PRODUCER, "quantization": without(MIXED, "quant_method", "ignore")}
    directory = made(tmp_path, without(MIXED, "quantized_layers"), file)
    metadata = read(directory, "vllm==0.33.0")
    assert metadata.file == HF_QUANT_FILE
    assert [entry.name for entry in metadata.entries] == [DOWN]
    with pytest.raises(StopsError, match="W4AFP8"):
        read(directory, "sglang==0.5.23")


@pytest.mark.parametrize("release", ["vllm==0.33.0", "sglang==0.5.23"])
@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_config_json_has_more_than_one_place(tmp_path: Path, release: str, key: str) -> None:
    text = {"text_config": {"quantization_config": FP8}}
    more = text if key == "quantization_config" else {key: FP8}
    metadata = read(made(tmp_path, None, **more), release)
    assert metadata.root == (("text_config", key) if "text_config" in more else (key,))
    assert [pattern.name for pattern in metadata.excludes] == ["lm_head"]


STOPS = [
    ("vllm==0.33.0", FP8 | {"ignore": None}, "ignore is null, not a list"),
    ("vllm==0.33.0", FP8 | {"ignore": "lm_head"}, 'ignore is the string "lm_head", not a list'),
    ("vllm==0.33.0", FP8 | {"ignore": ["a", 1]}, "holds the number 1, not a string"),
    ("vllm==0.33.0", FP8 | {"quant_method": None}, "quant_method is null, not a string"),
    ("vllm==0.33.0", FP8 | {"quant_algo": None}, "has no quant_algo"),
    ("vllm==0.33.0", FP8 | {"producer": None}, "producer is null, not an object"),
    ("vllm==0.33.0", FP8 | {"quant_method": "fp8"}, "has no activation_scheme"),
    (
        "vllm==0.33.0",
        FP8 | {"quant_method": "garbage"},
        '"garbage" is not a supported method',
    ),
    ("vllm==0.33.0", NVFP4 | {"group_size": "many"}, "is the string"),
    ("vllm==0.33.0", MIXED | {"quantized_layers": {}}, "MIXED_PRECISION without quantized_layers"),
    ("vllm==0.33.0", MIXED | {"quantized_layers": [1]}, "quantized_layers is a list"),
    ("vllm==0.33.0", MIXED | {"quantized_layers": MAP | {"a": None}}, "the entry is null"),
    (
        "vllm==0.33.0",
        MIXED | {"quantized_layers": MAP | {"a": {"quant_algo": None}}},
        "a: quant_algo is null, not a string",
    ),
    ("vllm==0.33.0", without(MIXED, "quantized_layers"), "there is no hf_quant_config.json"),
    ("sglang==0.5.23", NVFP4 | {"ignore": None}, "has no ignore"),
    ("sglang==0.5.23", FP8 | {"quant_algo": "fp8"}, "fp8 for the whole checkpoint"),
    ("sglang==0.5.23", FP8 | {"quant_method": "modelopt_mxfp8"}, "not a supported method"),
    ("sglang==0.5.23", MIXED | {"quantized_layers": {}}, "W4AFP8"),
    ("sglang==0.5.23", MIXED | {"quantized_layers": MAP | {"a": "FP8"}}, "the entry is the string"),
    ("sglang==0.5.23", MIXED | {"quant_method": "modelopt_fp8"}, "MIXED_PRECISION for the whole"),
    ("sglang==0.5.23", {"group_size": 64, "bits": 4}, '"" is not a supported method'),
]


@pytest.mark.parametrize(("release", "config", "message"), STOPS)
def test_a_release_stops_where_its_own_code_raises(
    tmp_path: Path, release: str, config: dict[str, Any], message: str
) -> None:
    # Next to another quantizer's config there is a file of ModelOpt's own: it is not read.
    foreign = not str(config.get("quant_method", "modelopt")).startswith("modelopt")
    with pytest.raises(StopsError) as stop:
        read(made(tmp_path, config, WRAPPED_NVFP4 if foreign else None), release)
    assert message in str(stop.value)


TWO_SIZES = {
    "a": {"quant_algo": "FP8_PB_WO", "group_size": 64},
    "b": {"quant_algo": "fp8_pb_wo"},
}


@pytest.mark.parametrize(
    ("stops", "loads"), [("vllm==0.33.0", "vllm==0.28.0"), ("sglang==0.5.23", "sglang==0.5.20")]
)
def test_two_block_sizes_stop_the_newest_releases(tmp_path: Path, stops: str, loads: str) -> None:
    directory = made(tmp_path, MIXED | {"quantized_layers": MAP | TWO_SIZES})
    with pytest.raises(StopsError, match="block sizes 64 and 128"):
        read(directory, stops)
    assert len(read(directory, loads).entries) == 3


@pytest.mark.parametrize(
    ("release", "config", "excluded"),
    [
        ("vllm==0.33.0", FP8 | {"ignore": [], "exclude_modules": ["a"]}, []),
        ("vllm==0.33.0", without(FP8, "ignore") | {"exclude_modules": ["a"]}, ["a"]),
        ("vllm==0.28.0", without(FP8, "ignore") | {"exclude_modules": ["a"]}, []),
        ("sglang==0.5.23", without(FP8, "ignore") | {"exclude_modules": ["a"]}, []),
        ("sglang==0.5.23", without(NVFP4, "ignore") | {"exclude_modules": ["a"]}, ["a"]),
        ("sglang==0.5.20", without(NVFP4, "ignore") | {"exclude_modules": ["a"]}, []),
        ("sglang==0.5.23", without(MIXED, "ignore") | {"exclude_modules": ["a"]}, ["a"]),
        ("sglang==0.5.14", FP8 | {"ignore": None}, []),
        ("sglang==0.5.23", FP8 | {"ignore": "ab"}, ["a", "b"]),
    ],
)
def test_the_list_of_excluded_modules(
    tmp_path: Path, release: str, config: dict[str, Any], excluded: list[str]
) -> None:
    metadata = read(made(tmp_path, config), release)
    assert [pattern.name for pattern in metadata.excludes] == excluded


@pytest.mark.parametrize(
    ("release", "config", "size"),
    [
        ("vllm==0.33.0", NVFP4 | {"group_size": "32"}, 32),
        ("sglang==0.5.23", NVFP4 | {"group_size": "32"}, "32"),
        ("vllm==0.33.0", without(NVFP4, "group_size"), 16),
        ("sglang==0.5.23", without(NVFP4, "group_size"), 16),
        ("vllm==0.33.0", MIXED | {"quantized_layers": {"a": MAP[DOWN] | {"group_size": 8}}}, 8),
        ("vllm==0.33.0", MIXED | {"group_size": 32}, 32),
        ("sglang==0.5.23", MIXED | {"group_size": 32}, 16),
    ],
)
def test_the_group_size(tmp_path: Path, release: str, config: dict[str, Any], size: object) -> None:
    assert read(made(tmp_path, config), release).group_size == size


@pytest.mark.parametrize("key", ["group_size", "kv_cache_quant_algo", "exclude_modules"])
def test_vllm_requires_the_fields_of_the_wrapped_object(tmp_path: Path, key: str) -> None:
    file = {**PRODUCER, "quantization": without(WRAPPED_NVFP4["quantization"], key)}
    with pytest.raises(StopsError, match=f"has no {key}"):
        read(made(tmp_path, None, file), "vllm==0.33.0")


def test_a_wrapped_mixed_map_alone_needs_vllm_0_33(tmp_path: Path) -> None:
    fields = without(MIXED, "quant_method", "ignore") | {"exclude_modules": []}
    directory = made(tmp_path, None, {**PRODUCER, "quantization": fields})
    assert read(directory, "vllm==0.33.0").is_mixed
    with pytest.raises(StopsError, match="MIXED_PRECISION is not a supported quant_algo there"):
        read(directory, "vllm==0.28.0")


def test_weight_only_nvfp4_by_its_config_groups(tmp_path: Path) -> None:
    groups = {"group_0": {"input_activations": None, "weights": {"group_size": 16}}}
    directory = made(tmp_path, NVFP4 | {"config_groups": groups})
    assert read(directory, "vllm==0.33.0").quant_algo == "W4A16_NVFP4"
    assert read(directory, "vllm==0.28.0").quant_algo == "NVFP4"
    assert read(directory, "sglang==0.5.23").quant_algo == "NVFP4"


def test_a_flat_file(tmp_path: Path) -> None:
    directory = made(tmp_path, None, without(NVFP4, "quant_method"))
    assert "has no quant_method" in read(directory, "vllm==0.33.0").ignored
    assert read(directory, "sglang==0.5.23").quant_algo == "NVFP4"
    with pytest.raises(StopsError, match="has no quantization"):
        read(directory, "sglang==0.5.17")


def test_another_quantizers_config_decides(tmp_path: Path) -> None:
    config = {"quant_method": "compressed-tensors", "config_groups": {}}
    directory = made(tmp_path, config, WRAPPED_NVFP4)
    for release in ("vllm==0.33.0", "sglang==0.5.23"):
        with pytest.raises(NotModelOptError, match="compressed-tensors"):
            read(directory, release)


def test_sglang_wants_the_map_of_a_nemotron_in_config_json(tmp_path: Path) -> None:
    fields = without(MIXED, "quant_method", "ignore") | {"exclude_modules": []}
    file = {**PRODUCER, "quantization": fields}
    write_checkpoint(tmp_path, TENSORS, architecture="NemotronHForCausalLM")
    (tmp_path / HF_QUANT_FILE).write_text(json.dumps(file))
    with pytest.raises(StopsError, match="requires quantization_config"):
        read(tmp_path, "sglang==0.5.23")


@pytest.mark.parametrize("value", [{"FP8": 1}, ["FP8"], 8, True])
def test_an_algorithm_of_another_type_stops_a_release_and_not_us(
    value: object, tmp_path: Path
) -> None:
    directory = write_checkpoint(
        tmp_path / "m",
        fp8("model.layers.0.a"),
        {"quant_method": "modelopt_fp8", "quant_algo": value},
    )
    report = ckptfix.check(directory, runtimes=["vllm", "sglang"])
    assert {release.loads for release in report.runtimes} <= {"no", "unknown"}


def test_vllm_0_24_stops_at_mxfp8_of_modelopt() -> None:
    """Its method mxfp8 takes it first, and is not one of those that may.

    Seen with the real release: Quantization method mxfp8 is an override but is has not been added
    to the `overrides` list above.
    """
    answers = ckptfix.check(DATA / "llama-mxfp8", runtimes=["vllm>=0.16"]).runtimes
    loads = {answer.version: answer.loads for answer in answers}
    assert loads.pop("0.24.0") == "no"
    assert set(loads.values()) == {"yes"}
