"""Where families put modules, against names read in the model classes.

What vLLM 0.33.0 can build on this machine is compared with its own questions in test_placing.py.
Here are the classes that it cannot build, older releases, and SGLang.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.family_files import builtin_family_files, files_naming
from ckptfix.runtimes.placing import runtime_modules
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes
from tests.builders import fp8, mixed, write_checkpoint
from tests.conftest import DATA, load

NOT_QUANTIZED = "takes no config"

CASES = tomllib.loads((DATA / "family_places.toml").read_text("utf-8"))["cases"]


def _id(case: dict[str, Any]) -> str:
    return f"{case['runtime']}-{case['version']}-{case['architecture']}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_places(case: dict[str, Any]) -> None:
    family = family_for(case["runtime"], case["version"], [case["architecture"]])
    assert family is not None
    tensors = {f"{name}.weight": Tensor("BF16", (8, 8), 0) for name in case["places"]}
    modules = runtime_modules(group_modules(tensors), family)
    looked_up = {
        member: module.name if module.takes_quant_config else NOT_QUANTIZED
        for module in modules
        for member in module.members
    }
    assert looked_up == case["places"]


def test_a_family_is_for_an_architecture_that_some_release_registers() -> None:
    registered = {
        (runtime, architecture)
        for runtime in known_runtimes()
        for version in known_releases(runtime)
        for architecture in load_profile(runtime, version).architectures
    }
    described: set[tuple[str, str]] = set()
    for file in builtin_family_files().values():
        described |= {(spec.runtime, name) for spec in file.families for name in spec.architectures}
        described |= {(spec.runtime, name) for spec in file.unknown for name in spec.architectures}
    assert described <= registered


@pytest.mark.parametrize(
    ("text_config", "inner"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM"),
        ({"model_type": "mistral"}, "MistralForCausalLM"),
        (None, "MistralForCausalLM"),
    ],
)
def test_the_inner_model_is_the_one_that_config_json_names(
    text_config: dict[str, object] | None, inner: str, tmp_path: Path
) -> None:
    more = {"text_config": text_config} if text_config is not None else {}
    write_checkpoint(
        tmp_path,
        fp8("model.language_model.layers.0.mlp.down_proj"),
        mixed({"model.language_model.layers.0.mlp.down_proj": "FP8"}),
        architecture="Mistral3ForConditionalGeneration",
        extra_config=more,
    )
    config = load(tmp_path).config
    family = family_for("vllm", "0.33.0", config.architectures)
    assert family is not None
    assert family.inner_of(config.nested) == (inner,)


def test_every_architecture_is_found_in_the_files_that_name_it() -> None:
    for name, file in builtin_family_files().items():
        described = [spec.architectures for spec in file.families]
        described += [spec.architectures for spec in file.unknown]
        for architectures in described:
            assert all(name in files_naming(architecture) for architecture in architectures)


@pytest.mark.parametrize(
    ("architecture", "loads"), [("LlamaForCausalLM", True), ("Qwen3ForCausalLM", False)]
)
def test_whether_scales_of_the_cache_are_loaded_is_what_the_class_did(
    architecture: str, loads: bool
) -> None:
    """sglang 0.5.23: sglang/srt/models/qwen3.py builds RadixAttention without a config."""
    family = family_for("sglang", "0.5.23", [architecture])
    assert family is not None
    assert family.loads_kv_scales is loads


def test_a_model_without_towers_says_what_is_outside_of_its_layers() -> None:
    """Otherwise every module there would count as built."""
    lacking = [
        architecture
        for file in builtin_family_files().values()
        for spec in file.families
        for architecture in spec.architectures
        if spec.base in ("model", "transformer") and not spec.towers and not spec.outside
    ]
    assert set(lacking) == {"Phi4MMForCausalLM"}, "whose towers are below `model`"
