import json

import pytest

from ckptfix.checkpoint.dialects.registry import parse_metadata
from ckptfix.checkpoint.model_config import parse_model_config
from ckptfix.jsontext.text import JsonText
from tests.conftest import SHARED


def documents(**files: object) -> dict[str, JsonText]:
    return {
        f"{name}.json": JsonText.parse(f"{name}.json", json.dumps(value).encode())
        for name, value in files.items()
    }


def test_all_places_where_a_module_is_named_are_statements() -> None:
    config = {
        "quantization_config": {
            "quantized_layers": {"a.q": {"quant_algo": "NVFP4", "group_size": 16}},
            "ignore": ["b*"],
            "config_groups": {"group_0": {"targets": ["a.q", "Linear"]}},
            "quant_algo": "MIXED_PRECISION",
        }
    }
    hf_quant = {
        "quantization": {
            "quant_algo": "MIXED_PRECISION",
            "quantized_layers": {"a.q": {"quant_algo": "NVFP4"}},
            "exclude_modules": ["b*"],
        }
    }
    quant_cfg = {"quantized_layers": {"a.q": {"quant_algo": None}}}
    files = parse_metadata(documents(config=config, hf_quant_config=hf_quant, quant_cfg=quant_cfg))
    assert [(s.kind, s.name, str(s.place)) for m in files for s in m.statements] == [
        ("entry", "a.q", "config.json /quantization_config/quantized_layers/a.q"),
        ("exclude", "b*", "config.json /quantization_config/ignore/0"),
        ("target", "a.q", "config.json /quantization_config/config_groups/group_0/targets/0"),
        ("target", "Linear", "config.json /quantization_config/config_groups/group_0/targets/1"),
        ("entry", "a.q", "hf_quant_config.json /quantization/quantized_layers/a.q"),
        ("exclude", "b*", "hf_quant_config.json /quantization/exclude_modules/0"),
        ("entry", "a.q", "quant_cfg.json /quantized_layers/a.q"),
    ]
    assert files[0].statements[0].group_size == 16
    assert files[2].statements[0].quant_algo is None


@pytest.mark.parametrize(
    ("scheme", "algo"),
    [
        ({"dynamic": False, "num_bits": 8, "type": "float"}, "FP8"),
        ("NVFP4", "NVFP4"),
        (None, None),
        ({"num_bits": [], "type": {}}, "[]-bit {}"),
    ],
)
def test_kv_cache_scheme_is_a_dict_or_a_string(scheme: object, algo: str | None) -> None:
    quantization = {"kv_cache_scheme": scheme, "quant_method": "modelopt"}
    (metadata,) = parse_metadata(documents(config={"quantization_config": quantization}))
    assert metadata.kv_cache_quant_algo == algo


@pytest.mark.parametrize(
    ("quantization", "place", "expected"),
    [
        ([], "config.json:1 /quantization_config", "an object"),
        ({"quantized_layers": []}, "/quantized_layers", "an object"),
        ({"quantized_layers": {"a": "FP8"}}, "/quantized_layers/a", "an object"),
        ({"quantized_layers": {"a": {"quant_algo": 8}}}, "/a/quant_algo", "a string or null"),
        ({"quantized_layers": {"a": {"group_size": 1.5}}}, "/a/group_size", "a whole number"),
        ({"ignore": "lm_head"}, "/ignore", "a list of strings"),
        ({"ignore": [1]}, "/ignore/0", "a string"),
        ({"config_groups": []}, "/config_groups", "an object"),
        ({"config_groups": {"g": 1}}, "/config_groups/g", "an object"),
        ({"config_groups": {"g": {"targets": "a"}}}, "/g/targets", "a list of strings"),
        ({"quant_method": 8}, "/quant_method", "a string or null"),
        ({"quant_library": 8}, "/quant_library", "a string or null"),
        ({"kv_cache_scheme": 8}, "/kv_cache_scheme", "an object, a string or null"),
    ],
)
def test_a_field_of_the_wrong_type_is_a_fault_and_counts_as_absent(
    quantization: object, place: str, expected: str
) -> None:
    (metadata,) = parse_metadata(documents(config={"quantization_config": quantization}))
    (fault,) = metadata.faults
    assert str(fault.place).endswith(place)
    assert fault.expected.startswith(expected)
    assert not metadata.of_kind("exclude")
    assert all(entry.quant_algo is None for entry in metadata.of_kind("entry"))


@pytest.mark.parametrize("method", ["hqq", "fp_quant"])
def test_of_another_quantizer_alone_only_the_name_is_read(method: str) -> None:
    (metadata,) = parse_metadata(
        documents(config={"quantization_config": {"quant_method": method, "ignore": ["a"]}})
    )
    assert metadata.producer == method
    assert not metadata.is_read
    assert not metadata.statements


FIELDS = {
    "quant_algo": "MIXED_PRECISION",
    "quantized_layers": {"a": {"quant_algo": "FP8"}},
    "exclude_modules": ["b"],
    "kv_cache_quant_algo": "FP8",
}


@pytest.mark.parametrize(
    ("files", "root"),
    [
        ({"config": {"quantization_config": FIELDS}}, "/quantization_config"),
        ({"config": {"text_config": {"quantization_config": FIELDS}}}, "/text_config/quant"),
        ({"config": {"compression_config": FIELDS}}, "/compression_config"),
        ({"config": {"quantization_config": {"quantization": FIELDS}}}, "/quantization"),
        ({"hf_quant_config": {"quantization": FIELDS}}, "/quantization"),
        ({"hf_quant_config": FIELDS}, "hf_quant_config.json"),
        ({"quant_cfg": FIELDS}, "quant_cfg.json"),
    ],
)
def test_the_object_is_found_wherever_a_runtime_finds_it(
    files: dict[str, object], root: str
) -> None:
    (metadata,) = parse_metadata(documents(**files))
    assert root in str(metadata.place)
    assert metadata.is_mixed
    assert [(s.kind, s.name) for s in metadata.statements] == [("entry", "a"), ("exclude", "b")]
    assert metadata.kv_cache_quant_algo == "FP8"
    assert metadata.exclude_list[-1] == "exclude_modules"


def test_another_quantizers_dialect_is_ignored_next_to_modelopts_own_file() -> None:
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    hf_quant = {"quantization": {"quant_algo": "NVFP4"}}
    (metadata,) = parse_metadata(documents(config=config, hf_quant_config=hf_quant))
    assert metadata.file == "hf_quant_config.json"


PUBLISHED = sorted((SHARED / "real-configs").glob("*--*"))


@pytest.mark.skipif(not PUBLISHED, reason="other people's files, in ../shared only")
def test_metadata_of_published_checkpoints_is_read() -> None:
    for directory in PUBLISHED:
        read = {f.name: JsonText.parse(f.name, f.read_bytes()) for f in directory.glob("*.json")}
        files = parse_metadata(read)
        assert any(metadata.quant_algo for metadata in files), directory.name
        assert any(metadata.producer.startswith("modelopt ") for metadata in files), directory.name
        assert parse_model_config(read["config.json"].value).architectures, directory.name
