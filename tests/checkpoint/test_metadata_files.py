import json

import pytest

from ckptfix.checkpoint.metadata_files import parse_metadata
from ckptfix.checkpoint.model_config import parse_model_config
from ckptfix.errors import CkptfixError
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
    ("quantization", "told"),
    [
        ([], "config.json:1 /quantization_config: expected an object"),
        ({"quantized_layers": []}, "/quantized_layers: expected an object"),
        ({"quantized_layers": {"a": "FP8"}}, "/quantized_layers/a: expected an object"),
        ({"quantized_layers": {"a": {"quant_algo": 8}}}, "/a/quant_algo: expected a string"),
        ({"quantized_layers": {"a": {"group_size": 1.5}}}, "/a/group_size: expected a whole"),
        ({"ignore": "lm_head"}, "/ignore: expected a list of strings"),
        ({"ignore": [1]}, "/ignore/0: expected a string"),
        ({"config_groups": []}, "/config_groups: expected an object"),
        ({"kv_cache_scheme": 8}, "/kv_cache_scheme: expected"),
        ({"quant_method": "gptq"}, "quant_method is 'gptq'"),
        ({"quant_method": "compressed-tensors"}, "checkpoints quantized by ModelOpt"),
    ],
)
def test_a_field_of_the_wrong_type_is_told_with_its_pointer(
    quantization: object, told: str
) -> None:
    with pytest.raises(CkptfixError) as error:
        parse_metadata(documents(config={"quantization_config": quantization}))
    assert told in str(error.value)


def test_hf_quant_config_without_its_object_is_told() -> None:
    with pytest.raises(CkptfixError, match="has no quantization object"):
        parse_metadata(documents(hf_quant_config={"producer": {}}))


def test_another_quantizers_dialect_is_left_out_beside_modelopts_own_file() -> None:
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
        assert parse_model_config(read["config.json"]).architectures, directory.name
