"""Where a release reads metadata that config.json has in the part of the language model."""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.jsontext.text import Path as Path_
from ckptfix.runtimes.common.foreign import NotModelledError
from ckptfix.runtimes.common.layer_maps import HF_QUANT_FILE
from tests.runtimes.test_effective import FP8, NVFP4, PRODUCER, made, read

TEXT = {"quantization_config": FP8}
NESTED = [
    # Of a text model, vLLM reads one key and SGLang four.
    ({"text_config": TEXT}, ("text_config",), ("text_config",)),
    ({"llm_config": TEXT}, None, ("llm_config",)),
    ({"language_config": TEXT}, None, ("language_config",)),
    ({"thinker_config": {"text_config": TEXT}}, None, ("thinker_config", "text_config")),
    # What the class of a model_type calls text_config.
    ({"model_type": "deepseek_vl_v2", "language_config": TEXT}, ("language_config",), None),
    # SGLang reads config.json again for its own classes; some of them look into it themselves.
    ({"model_type": "qwen3_5", "text_config": TEXT}, ("text_config",), None),
    ({"model_type": "kimi_k25", "text_config": TEXT}, ("text_config",), ("text_config",)),
    # A null is a value for SGLang.
    ({"quantization_config": None, "text_config": TEXT}, ("text_config",), None),
]


@pytest.mark.parametrize(("config", "vllm", "sglang"), NESTED)
def test_a_release_reads_what_its_config_class_shows(
    config: dict[str, Any], vllm: Path_ | None, sglang: Path_ | None, tmp_path: Path
) -> None:
    directory = made(tmp_path, None, **config)
    for release, at in (("vllm==0.33.0", vllm), ("sglang==0.5.23", sglang)):
        if at is None:
            assert "finds no quantization metadata" in read(directory, release).ignored
        else:
            metadata = read(directory, release)
            assert metadata.root == (*at, "quantization_config")
            assert [pattern.name for pattern in metadata.excludes] == ["lm_head"]


def test_sglang_read_it_before_it_had_a_class_of_its_own(tmp_path: Path) -> None:
    directory = made(tmp_path, None, model_type="minimax_m3_vl", text_config=TEXT)
    assert read(directory, "sglang==0.5.15").root == ("text_config", "quantization_config")
    assert "finds no quantization metadata" in read(directory, "sglang==0.5.16").ignored


def test_the_file_names_the_method_and_a_hidden_object_the_rest(tmp_path: Path) -> None:
    """sglang 0.5.23: sglang/srt/model_loader/weight_utils.py looks once more, into text_config."""
    file = {**PRODUCER, "quantization": {"quant_algo": "FP8", "exclude_modules": []}}
    directory = made(tmp_path, None, file, model_type="qwen3_5", text_config=TEXT)
    metadata = read(directory, "sglang==0.5.23")
    assert metadata.root == ("text_config", "quantization_config")
    assert [pattern.name for pattern in metadata.excludes] == ["lm_head"]
    assert read(directory, "vllm==0.33.0").file == HF_QUANT_FILE


def test_two_places_that_two_runtimes_read_are_not_guessed_at(tmp_path: Path) -> None:
    directory = made(tmp_path, None, text_config=TEXT, llm_config={"quantization_config": NVFP4})
    assert read(directory, "sglang==0.5.23").quant_algo == "NVFP4"
    with pytest.raises(NotModelledError, match=r"text_config.*llm_config"):
        read(directory, "vllm==0.33.0")
