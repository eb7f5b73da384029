"""Which runtime module each tensor ends in, judged by the real vLLM 0.33.0 model objects.

`tests/data/oracle/` holds what each fixture's model asked its quantization config and which
quant method every module got (`tools/record_oracle.py`). Compared are all names the config was
asked for, except: attention (a KV cache, no weight), embeddings (vLLM's Llama asks for them under
the empty name), and an output head that is tied to the embedding and so has no tensor.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.binding import RuntimeModule, runtime_modules
from ckptfix.runtimes.family import (
    family_for,
)
from tests.conftest import DATA, FIXTURES, load

RECORDS = sorted(
    path for path in (DATA / "oracle").glob("*.json") if (FIXTURES / path.stem).is_dir()
)
NOT_COMPARED = {"Attention", "MLAAttention", "VocabParallelEmbedding"}


@cache
def record_of(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return record


BUILT = [path for path in RECORDS if "could_not_build" not in record_of(path)]
ASKED = [path for path in BUILT if record_of(path)["quant_config_class"] != "NoneType"]


@cache
def predicted(fixture: str) -> tuple[RuntimeModule, ...]:
    checkpoint = load(FIXTURES / fixture)
    family = family_for("vllm", "0.33.0", checkpoint.config.architectures)
    assert family is not None
    return runtime_modules(checkpoint.modules, family)


def _id(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", ASKED, ids=_id)
def test_the_config_is_asked_for_exactly_the_predicted_names(path: Path) -> None:
    asked = {
        name for name, row in record_of(path)["asked"].items() if row["class"] not in NOT_COMPARED
    }
    if load(FIXTURES / path.stem).config.tied_embeddings:
        asked -= {name for name, row in record_of(path)["asked"].items() if "Head" in row["class"]}
    assert {module.name for module in predicted(path.stem) if module.takes_quant_config} == asked


@pytest.mark.parametrize("path", BUILT, ids=_id)
def test_every_module_that_the_model_holds_is_predicted_and_the_kinds_agree(path: Path) -> None:
    kinds = {module.name: module.kind for module in predicted(path.stem)}
    tied = load(FIXTURES / path.stem).config.tied_embeddings
    for name, row in record_of(path)["modules"].items():
        if row["class"] == "Attention" or (tied and row["class"] == "ParallelLMHead"):
            continue
        # vLLM holds the weights of a bank one level below the name that it asks for.
        kind = kinds.get(name.removesuffix(".routed_experts"))
        if row["class"] == "VocabParallelEmbedding":
            # transformers' native nemotron_h writes `embedding`, which vLLM does not load.
            assert kind == "embedding" or kinds.get("model.embedding") == "embedding"
        elif row["class"] == "ParallelLMHead":
            assert kind == "head"
        elif row["class"] == "RoutedExperts":
            assert kind == "experts"
        else:
            assert kind == ("other" if name.endswith(".conv1d") else "linear"), name


@pytest.mark.parametrize("path", BUILT, ids=_id)
def test_what_never_takes_a_config_is_unquantized_and_never_asked_for(path: Path) -> None:
    record = record_of(path)
    for module in predicted(path.stem):
        if module.takes_quant_config:
            continue
        if module.kind != "embedding":
            assert module.name not in record["asked"]
        if module.name in record["modules"]:
            assert record["modules"][module.name]["method"].startswith("Unquantized")


def test_the_records_cover_what_they_should() -> None:
    by_model = {record_of(path)["model_class"] for path in ASKED}
    assert {"LlamaForCausalLM", "NemotronHForCausalLM", "NemotronH_Nano_VL_V2"} <= by_model
    assert {record_of(path)["version"] for path in RECORDS} == {"0.33.0"}
    for path in RECORDS:
        record = record_of(path)
        assert ("could_not_build" in record) != ("modules" in record)
