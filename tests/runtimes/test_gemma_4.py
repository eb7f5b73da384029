"""Gemma 4 with experts: the names of the bank, release by release, as the real loaders take them.

vLLM calls it `moe.experts` in 0.19.0 to 0.30.0 and `experts` from 0.31.0 on, and each release
renames the tensors its own way; every answer was given by the loader of that release too.
"""

from pathlib import Path

import pytest

import ckptfix
from tests.builders import Shapes, bf16, write_checkpoint
from tests.runtimes.gemma_4 import CONFIG, METADATA, gemma_4, nvfp4


@pytest.mark.parametrize(
    ("bank", "release", "loads"),
    [
        ("experts", "vllm==0.19.0", "no"),
        ("experts", "vllm==0.19.1", "yes"),
        ("experts", "vllm==0.20.0", "yes"),
        ("experts", "vllm==0.28.0", "yes"),
        ("experts", "vllm==0.30.0", "yes"),
        ("experts", "vllm==0.31.0", "yes"),
        ("experts", "vllm==0.33.0", "yes"),
        ("experts", "sglang==0.5.23", "yes"),
        ("moe.experts", "vllm==0.19.0", "no"),
        ("moe.experts", "vllm==0.20.0", "no"),
        ("moe.experts", "vllm==0.21.0", "yes"),
        ("moe.experts", "vllm==0.30.0", "yes"),
        ("moe.experts", "vllm==0.31.0", "no"),
        ("moe.experts", "vllm==0.33.0", "no"),
        ("moe.experts", "sglang==0.5.23", "yes"),
    ],
)
def test_each_release_finds_the_experts_where_its_loader_does(
    bank: str, release: str, loads: str, tmp_path: Path
) -> None:
    result = ckptfix.check(gemma_4(tmp_path, bank=bank), runtimes=[release])
    (answer,) = result.runtimes
    assert answer.loads == loads


PATCHES = "model.vision_tower.patch_embedder"


@pytest.mark.parametrize("release", ["vllm==0.33.0", "sglang==0.5.23"])
@pytest.mark.parametrize(
    ("vision", "wrong"),
    [
        ({}, ""),
        ({"patch_size": 8}, f"{PATCHES}.input_proj is 64 x 48, but config.json implies 64 x 192"),
        (
            {"position_embedding_size": 32},
            f"{PATCHES}.position_embedding_table is 2 x 16 x 64, but config.json implies 2 x 32",
        ),
    ],
)
def test_patches_of_the_tower_are_as_large_as_its_config_says(
    vision: dict[str, int], wrong: str, release: str, tmp_path: Path
) -> None:
    """What the loaders of both do with the published release, of which one value was changed."""
    tensors: Shapes = {
        **bf16(f"{PATCHES}.input_proj", 64, 3 * 4 * 4),
        f"{PATCHES}.position_embedding_table": ("BF16", (2, 16, 64)),
        **bf16("model.language_model.embed_tokens", 64, 64),
        **nvfp4("model.language_model.layers.0.mlp.down_proj"),
    }
    config = {
        "model_type": "gemma4",
        "text_config": {**CONFIG, "architectures": None},
        "vision_config": {
            "model_type": "gemma4_vision", "hidden_size": 64, "patch_size": 4,
            "position_embedding_size": 16, **vision,
        },
    }  # fmt: skip
    name = "Gemma4ForConditionalGeneration"
    write_checkpoint(tmp_path, tensors, METADATA, architecture=name, extra_config=config)
    (answer,) = ckptfix.check(tmp_path, runtimes=[release]).runtimes
    found = [reason for reason in answer.reasons if PATCHES in reason]
    assert bool(found) is bool(wrong)
    assert all(wrong in reason for reason in found)


def test_a_parameter_called_scale_is_no_scale_of_a_weight(tmp_path: Path) -> None:
    """`router.scale` stands beside no weight, in every Gemma 4 model with experts."""
    result = ckptfix.check(gemma_4(tmp_path, bank="experts"), runtimes=["vllm==0.33.0"])
    assert not result.findings
