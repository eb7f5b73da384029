"""Which runtime module each tensor ends in, judged by the real vLLM 0.33.0 model objects.

`tests/data/oracle/` holds what each fixture's model asked its quantization config and which
quant method every module got (`tools/record_oracle.py`). Compared are all names the config was
asked for, except: attention (a KV cache, no weight), embeddings (vLLM's Llama asks for them under
the empty name), and an output head that is tied to the embedding and so has no tensor.

`tests/data/oracle/architectures/` holds the same for architectures without a fixture, with the
tensors that transformers would save for them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.modules import Module, group_modules
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.errors import CkptfixError
from ckptfix.runtimes.family import builtin_families, family_for, parse_families
from ckptfix.runtimes.family_files import builtin_family_files
from ckptfix.runtimes.placing import runtime_modules
from ckptfix.runtimes.runtime_module import RuntimeModule
from tests.conftest import DATA, FIXTURES, load

RECORDS = sorted(
    path for path in (DATA / "oracle").glob("*.json") if (FIXTURES / path.stem).is_dir()
)
NOT_COMPARED = {
    "Attention",
    "ChunkedLocalAttention",
    "DeepseekV32Attention",
    "MLAAttention",
    "VocabParallelEmbedding",
}
ARCHITECTURES = sorted((DATA / "oracle" / "architectures").glob("*.json"))
WITHOUT_FAMILY = {
    # vLLM asks for model.N.mixer, N being the number of layers plus i.
    "FalconH1ForCausalLM",
    # Likewise, and all shared attention blocks have the same names.
    "Zamba2ForCausalLM",
}


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


def asked_names(record: dict[str, Any], *, has_head: bool) -> set[str]:
    return {
        name
        for name, row in record["asked"].items()
        if row["class"] not in NOT_COMPARED and (has_head or row["class"] != "ParallelLMHead")
    }


def taking(modules: tuple[RuntimeModule, ...]) -> set[str]:
    return {module.name for module in modules if module.takes_quant_config}


@pytest.mark.parametrize("path", ASKED, ids=_id)
def test_exactly_the_predicted_names_are_looked_up(path: Path) -> None:
    tied = load(FIXTURES / path.stem).config.tied_embeddings
    asked = asked_names(record_of(path), has_head=not tied)
    assert taking(predicted(path.stem)) == asked


def modules_of(record: dict[str, Any]) -> dict[str, Module]:
    return group_modules(
        {name: Tensor("BF16", tuple(shape), 0) for name, shape in record["tensors"].items()}
    )


@pytest.mark.parametrize("path", ARCHITECTURES, ids=_id)
def test_architectures_without_a_fixture(path: Path) -> None:
    record = record_of(path)
    family = family_for("vllm", "0.33.0", [path.stem])
    assert (family is None) == (path.stem in WITHOUT_FAMILY)
    if family is None:
        return
    modules = runtime_modules(modules_of(record), family)
    has_head = any("lm_head" in name for name in record["tensors"])
    assert taking(modules) - unbuilt(record) == asked_names(record, has_head=has_head)
    for module in modules:
        held = record["modules"].get(module.name)
        if held and not module.takes_quant_config:
            assert held["method"].startswith("Unquantized")


def unbuilt(record: dict[str, Any]) -> set[str]:
    """LLaVA's vision layers after vision_feature_layer: vLLM builds fewer than are stored."""
    layer = "vision_tower.vision_model.encoder.layers.3."
    if record["architecture"] != "LlavaForConditionalGeneration":
        return set()
    assert not any(name.startswith(layer) for name in record["modules"])
    rest = ("mlp.fc1", "mlp.fc2", "self_attn.qkv_proj", "self_attn.out_proj")
    return {layer + last for last in rest}


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
def test_what_never_takes_a_config_is_unquantized_and_never_looked_up(path: Path) -> None:
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


def bind(family_text: str, *names: str) -> dict[str, tuple[str, ...]]:
    (family,) = parse_families(family_text, "test.toml")
    tensors = {f"{name}.weight": Tensor("BF16", (8, 8), 0) for name in names}
    return {m.name: m.members for m in runtime_modules(group_modules(tensors), family)}


PACKING = """
description = "packs"
[[families]]
runtime = "vllm"
architectures = ["Any"]
source = "none"
reason = "none"
[families.places]
reason = "none"
[families.places.packed]
qkv_proj = ["q_proj", "k_proj", "v_proj"]
fused_a = ["q_a", "kv_a"]
"""


def test_members_are_in_packed_order_whatever_the_order_of_the_tensors() -> None:
    assert bind(PACKING, "l.v_proj", "l.q_proj", "l.k_proj") == {
        "l.qkv_proj": ("l.q_proj", "l.k_proj", "l.v_proj")
    }


def test_a_packed_module_may_lack_members_but_not_the_first() -> None:
    assert bind(PACKING, "l.q_proj", "l.k_proj") == {"l.qkv_proj": ("l.q_proj", "l.k_proj")}
    assert bind(PACKING, "l.kv_a") == {"l.kv_a": ("l.kv_a",)}


def test_all_experts_end_in_one_bank_and_shared_experts_do_not() -> None:
    names = ("l.experts.0.up_proj", "l.experts.1.up_proj", "l.shared_experts.up_proj")
    assert bind(PACKING, *names) == {"l.experts": names[:2], names[2]: names[2:]}


def test_sglang_places_modules_differently_from_vllm() -> None:
    names = ["model.language_model.layers.0.self_attn.q_proj", "model.visual.blocks.0.attn.qkv"]
    tensors = {f"{name}.weight": Tensor("BF16", (8, 8), 0) for name in names}
    family = family_for("sglang", "0.5.23", ["Qwen3VLForConditionalGeneration"])
    assert family is not None
    text, vision = runtime_modules(group_modules(tensors), family)
    assert text.name == "model.language_model.layers.0.self_attn.qkv_proj"
    assert text.takes_quant_config
    assert vision.name == "model.visual.blocks.0.attn.qkv_proj"
    assert not vision.takes_quant_config


def test_a_place_is_looked_up_as_what_is_there() -> None:
    """vLLM's dense Qwen3-VL looks up its head as `lm_head`, wherever that is stored."""
    names = ["language_model.lm_head", "language_model.model.layers.0.mlp.down_proj"]
    tensors = {f"{name}.weight": Tensor("BF16", (8, 8), 0) for name in names}
    family = family_for("vllm", "0.33.0", ["Qwen3VLForConditionalGeneration"])
    assert family is not None
    found = [module.name for module in runtime_modules(group_modules(tensors), family)]
    assert found == ["lm_head", "language_model.model.layers.0.mlp.down_proj"]


def test_an_architecture_without_family_is_unknown() -> None:
    assert family_for("vllm", "0.33.0", ["NeverHeardOf"]) is None
    assert family_for("sglang", "0.5.23", []) is None


def test_versions_choose_between_entries() -> None:
    (old,) = parse_families(PACKING.replace('"none"', '"none"\nversions = "<0.20"', 1), "test.toml")
    assert old.holds_for("0.17.1")
    assert not old.holds_for("0.20.0")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "not a family file"),
        (PACKING + "surprise = 1\n", "not a family file"),
        (PACKING.replace('"none"', '"none"\nversions = "new"', 1), "not a version specifier"),
    ],
)
def test_a_broken_family_file_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(CkptfixError, match=problem):
        parse_families(text, "test.toml")


def test_every_family_names_its_source_and_no_two_claim_an_architecture() -> None:
    claimed = [
        (spec.runtime, spec.versions, architecture)
        for file in builtin_family_files().values()
        for spec in file.families
        for architecture in spec.architectures
    ]
    assert len(claimed) == len(set(claimed))
    for family in builtin_families():
        assert family.source.startswith((f"{family.spec.runtime} 0.",))
