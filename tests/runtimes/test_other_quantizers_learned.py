"""Learned classes that load other quantizers' checkpoints: `<runtime>/other_quantizers.toml`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckptfix.checkpoint.formats.table import format_named
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.learned.others import formats_seen
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.toml_folder import facts_of
from tests.builders import Shapes, bf16, write_checkpoint
from tests.replay import ask

RELEASES = (("vllm", "0.33.0"), ("sglang", "0.5.23"))
LAYER = "model.layers.0"


def _rows() -> Iterator[tuple[str, str, str, str, str]]:
    for runtime, version in RELEASES:
        for classes in facts_of(runtime).parsed("other_quantizers.toml")["classes"]:
            for architecture in classes["architectures"]:
                yield runtime, version, classes["method"], classes["formats"][0], architecture


@pytest.mark.parametrize(("runtime", "version", "method", "stored", "architecture"), list(_rows()))
def test_a_row_is_of_a_learned_class_and_a_known_format(
    runtime: str, version: str, method: str, stored: str, architecture: str
) -> None:
    family = family_for(runtime, version, [architecture])
    assert family is not None
    assert family.learned is not None, "it has an entry, which decides"
    assert architecture in load_profile(runtime, version).architectures
    assert format_named(stored) is not None
    assert runtime_named(runtime).method_named(method, version, architecture) is not None
    assert stored in formats_seen(runtime, version, architecture, method)


def test_another_release_was_not_seen() -> None:
    assert formats_seen("vllm", "0.33.0", "SeedOssForCausalLM", "awq") == {"AWQ_INT4"}
    assert not formats_seen("vllm", "0.32.0", "SeedOssForCausalLM", "awq")
    assert not formats_seen("vllm", "0.33.0", "SeedOssForCausalLM", "quark")


def fp8_channels(name: str) -> Shapes:
    return {f"{name}.weight": ("F8_E4M3", (32, 32)), f"{name}.weight_scale": ("BF16", (32, 1))}


def olmo_2() -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    for part in ("post_attention_layernorm", "post_feedforward_layernorm"):
        made |= bf16(f"{LAYER}.{part}", 32)
    for part in ("q_norm", "k_norm"):
        made |= bf16(f"{LAYER}.self_attn.{part}", 32)
    for part in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"):
        made |= fp8_channels(f"{LAYER}.{part}_proj")
    for part in ("gate", "up", "down"):
        made |= fp8_channels(f"{LAYER}.mlp.{part}_proj")
    return made


def group(bits: int) -> dict[str, object]:
    weights = {"num_bits": bits, "type": "float", "strategy": "channel", "symmetric": True}
    inputs = {"num_bits": bits, "type": "float", "strategy": "token", "dynamic": True}
    return {"targets": ["Linear"], "weights": weights, "input_activations": inputs}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "yes"),
        # A name that was not tried, and a module without its scale.
        ({f"{LAYER}.mlp.extra.weight": ("BF16", (32, 32))}, "unknown"),
        ({f"{LAYER}.mlp.down_proj.weight_scale": None}, "no"),
        ({f"{LAYER}.self_attn.q_norm.weight": None}, "unknown"),
    ],
)
def test_a_learned_class_is_answered_where_all_was_seen(
    tmp_path: Path, change: dict[str, tuple[str, tuple[int, ...]] | None], expected: str
) -> None:
    changed = {**olmo_2(), **change}
    tensors = {name: shape for name, shape in changed.items() if shape is not None}
    directory = write_checkpoint(
        tmp_path / "c",
        tensors,
        None,
        architecture="Olmo2ForCausalLM",
        extra_config={
            "model_type": "olmo2", "num_hidden_layers": 1, "vocab_size": 32, "hidden_size": 32,
            "intermediate_size": 32, "num_attention_heads": 1, "num_key_value_heads": 1,
            "tie_word_embeddings": False,
        },
    )  # fmt: skip
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
        "quantization_status": "compressed", "config_groups": {"group_0": group(8)},
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    assert ask(directory, ("vllm==0.33.0",))["vllm==0.33.0"].answer == expected
