"""What the classes build of architectures whose tensors other layouts do not have.

The names are those that the real classes of vLLM 0.33.0 and SGLang 0.5.23 loaded with nothing left
over and nothing unfilled.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.loads import Answer, Effect, Loads
from tests.builders import Shapes
from tests.conftest import SHARED
from tests.runtimes.structure.models import loads, reasons_of
from truth_loop.case import tensors_in

WHOLE = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["*"]}
NORMS = ("input_layernorm", "post_attention_layernorm")
ATTENTION = tuple(f"self_attn.{part}_proj" for part in "qkvo")


def shapes(*names: str) -> Shapes:
    """Vectors for norms and parameters without a module of their own, else matrices."""
    made: Shapes = {}
    for name in names:
        vector = "norm" in name or not name.endswith("weight")
        made[name] = "BF16", (32,) if vector else (32, 1, 4) if "conv1d" in name else (32, 32)
    return made


def layers(number: int, *names: str) -> list[str]:
    return [f"model.layers.{number}.{name}" for name in names]


def weights(*modules: str) -> list[str]:
    return [f"{module}.weight" for module in modules]


MAMBA = (
    *("mamba.A_log", "mamba.D", "mamba.dt_bias", "mamba.conv1d.bias"),
    *weights("mamba.conv1d", "mamba.in_proj", "mamba.out_proj"),
)


def granite() -> tuple[Shapes, dict[str, Any]]:
    every = weights(
        *(*NORMS, "shared_mlp.input_linear", "shared_mlp.output_linear"),
        *(f"block_sparse_moe.{part}" for part in ("input_linear", "output_linear", "router.layer")),
    )
    names = weights("model.embed_tokens", "model.norm", "lm_head")
    names += layers(0, *every, *MAMBA, "mamba.norm.weight")
    names += layers(1, *every, *weights(*ATTENTION))
    config = {"layer_types": ["mamba", "attention"], "num_local_experts": 32}
    made = shapes(*names)
    for number in range(2):
        made[f"model.layers.{number}.shared_mlp.input_linear.weight"] = "BF16", (64, 32)
    return made, config | {"shared_intermediate_size": 32, "mamba_conv_bias": True}


def falcon() -> tuple[Shapes, dict[str, Any]]:
    every = weights("input_layernorm", "pre_ff_layernorm", *ATTENTION)
    every += weights(*(f"feed_forward.{part}_proj" for part in ("gate", "up", "down")))
    names = weights("model.embed_tokens", "model.final_layernorm", "lm_head")
    names += [name for number in range(2) for name in layers(number, *every, *MAMBA)]
    return shapes(*names), {"mamba_conv_bias": True, "mamba_rms_norm": False}


def minimax() -> tuple[Shapes, dict[str, Any]]:
    every = weights(*NORMS, *ATTENTION, "self_attn.q_norm", "self_attn.k_norm")
    index = (f"self_attn.index_{part}" for part in ("q_proj", "k_proj", "q_norm", "k_norm"))
    experts = [f"experts.{number}.w{part}" for number in range(2) for part in (1, 2, 3)]
    shared = [f"shared_experts.{part}_proj" for part in ("gate", "up", "down")]
    sparse = weights(*(f"block_sparse_moe.{part}" for part in ("gate", *experts, *shared)))
    names = weights("model.embed_tokens", "model.norm", "lm_head")
    names += layers(0, *every, *weights("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"))
    names += layers(1, *every, *weights(*index), *sparse)
    made = shapes(*names, "model.layers.1.block_sparse_moe.e_score_correction_bias")
    made["model.layers.1.block_sparse_moe.gate.weight"] = "BF16", (2, 32)
    return made, {
        "moe_layer_freq": [0, 1],
        "num_local_experts": 2,
        "n_shared_experts": 1,
        "use_routing_bias": True,
        "sparse_attention_config": {"sparse_attention_freq": [0, 1]},
    }


MODELS = {
    "GraniteMoeHybridForCausalLM": (granite, ("vllm",)),
    "FalconH1ForCausalLM": (falcon, ("sglang",)),
    "MiniMaxM3SparseForCausalLM": (minimax, ("vllm", "sglang")),
}
EACH = [(name, runtime) for name, (_, runtimes) in MODELS.items() for runtime in runtimes]


def answer(
    directory: Path, architecture: str, runtime: str, left: Shapes, config: dict[str, Any]
) -> Loads:
    sizes = {"num_hidden_layers": 2, "vocab_size": 32, "tie_word_embeddings": False}
    return loads(
        directory,
        runtime,
        left,
        sizes | config,
        architecture=architecture,
        quantization=WHOLE,
    )


def test_sglang_stops_at_every_quantized_granite_hybrid(tmp_path: Path) -> None:
    """Seen with the real loader: AttributeError at the first tensor."""
    made, config = granite()
    found = answer(tmp_path, "GraniteMoeHybridForCausalLM", "sglang", made, config)
    (reason,) = found.reasons
    assert reason.effect is Effect.STOPS
    assert "get_cache_scale" in reason.text


@pytest.mark.parametrize(("architecture", "runtime"), EACH)
def test_a_complete_checkpoint_loads(tmp_path: Path, architecture: str, runtime: str) -> None:
    made, config = MODELS[architecture][0]()
    found = answer(tmp_path, architecture, runtime, made, config)
    assert found.answer is Answer.YES, reasons_of(found)


@pytest.mark.parametrize(("architecture", "runtime"), EACH)
def test_every_tensor_is_missed(tmp_path: Path, architecture: str, runtime: str) -> None:
    made, config = MODELS[architecture][0]()
    unnoticed = [
        lost
        for number, lost in enumerate(made)
        if answer(
            tmp_path / str(number),
            architecture,
            runtime,
            {name: shape for name, shape in made.items() if name != lost},
            config,
        ).answer
        is not Answer.NO
    ]
    assert unnoticed == []


@pytest.mark.parametrize(("architecture", "runtime"), EACH)
@pytest.mark.parametrize("stray", ["extra", "extra_norm", "self_attn.extra"])
def test_a_module_of_a_layer_that_no_class_has(
    tmp_path: Path, architecture: str, runtime: str, stray: str
) -> None:
    made, config = MODELS[architecture][0]()
    made |= shapes(f"model.layers.1.{stray}.weight")
    found = answer(tmp_path, architecture, runtime, made, config)
    assert f"builds no module for model.layers.1.{stray}" in reasons_of(found)


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_every_tensor_of_deepseek_v4_is_missed(tmp_path: Path, runtime: str) -> None:
    case = SHARED / "cases" / "deepseek-v4-hybrid"
    if not case.is_dir():
        pytest.skip("../shared is not here")
    config = json.loads((case / "config.json").read_text())
    quantization = config.pop("quantization_config")
    made: Shapes = dict(tensors_in(case))
    options: dict[str, Any] = {
        "architecture": "DeepseekV4ForCausalLM",
        "quantization": quantization,
    }
    assert loads(tmp_path / "whole", runtime, made, config, **options).answer is Answer.YES
    lost = [name for name in made if name.endswith(("norm.weight", "base", "fn", "sink", "bias"))]
    assert len(lost) > 10
    for number, name in enumerate(lost):
        left = {other: shape for other, shape in made.items() if other != name}
        found = loads(tmp_path / str(number), runtime, left, config, **options)
        assert found.answer is Answer.NO, name
