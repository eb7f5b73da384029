"""FP8 with a `weight_scale_inv` for each layer or block, as Mistral and DeepSeek publish it.

Exports of `test_architectures.py` with FP8 in place of what they have; vllm 0.33.0 and sglang
0.5.23 were run on each.
"""

import json
from math import prod
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import RELEASES, ask

EXPORTS = exports("architectures")
MISTRAL_3: Final = "Mistral3ForConditionalGeneration-mixed"
MINISTRAL_3: Final = "Ministral3ForCausalLM-nvfp4"
LLAMA: Final = "LlamaForCausalLM-nvfp4"
QWEN_3: Final = "Qwen3ForCausalLM-mixed"
SCALES: Final = ("weight_scale", "weight_scale_2", "input_scale", "k_scale", "v_scale")
SIZES: Final = {"BF16": 2, "F32": 4, "F8_E4M3": 1}
PUBLISHED: Final = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
PARTS: Final = (
    *(f"attention.{name}_proj" for name in "qkvo"),
    *(f"feed_forward.{name}_proj" for name in ("gate", "up", "down")),
)
EACH: Final = [
    "lm_head",
    *(f"model.vision_tower.transformer.layers.{n}.{part}" for n in range(8) for part in PARTS),
    "model.multi_modal_projector.linear_1",
    "model.multi_modal_projector.linear_2",
    "model.multi_modal_projector.patch_merger.merging_layer",
]
"""The names of the same modules that vLLM 0.33.0 looks up."""
TENSOR: Final = ("weight_scale_inv", "activation_scale")
PLAIN: Final = ("weight_scale", "input_scale")

CASES: list[tuple[str, tuple[str, ...] | str, list[str], tuple[bool, bool]]] = [
    (MISTRAL_3, TENSOR, PUBLISHED, (False, True)),  # vLLM builds the tower in FP8
    (MISTRAL_3, PLAIN, PUBLISHED, (False, True)),
    (MISTRAL_3, TENSOR, EACH, (True, False)),  # SGLang looks up `attention.proj`
    (MISTRAL_3, ("weight_scale_inv",), EACH, (False, False)),  # input_scale is not filled
    (MISTRAL_3, "blocks", EACH, (False, False)),
    (MINISTRAL_3, TENSOR, PUBLISHED, (False, True)),
    (MINISTRAL_3, PLAIN, PUBLISHED, (True, True)),
    (MINISTRAL_3, "blocks", PUBLISHED, (True, False)),
    (LLAMA, TENSOR, PUBLISHED, (False, True)),
    (LLAMA, "blocks", PUBLISHED, (True, False)),
    (QWEN_3, TENSOR, PUBLISHED, (False, False)),
]
"""(Export, its scales, what is not converted, whether vLLM and SGLang load it)."""


def _tensors(line: dict[str, Any], scales: tuple[str, ...]) -> dict[str, tuple[str, list[int]]]:
    found: dict[str, tuple[str, list[int]]] = {}
    [(text, _)] = line["shards"].values()
    for name, entry in json.loads(text).items():
        module, _, role = name.rpartition(".")
        if name == "__metadata__" or role in SCALES:
            continue
        dtype, shape = entry["dtype"], entry["shape"]
        if dtype == "BF16":
            found[name] = dtype, shape
            continue
        rows, columns = shape[0], shape[1] * (2 if dtype == "U8" else 1)
        found[name] = "F8_E4M3", [rows, columns]
        if scales == ("blocks",):
            found[f"{module}.weight_scale_inv"] = "F32", [-(-rows // 128), -(-columns // 128)]
        else:
            found |= {f"{module}.{scale}": ("BF16", []) for scale in scales}
    return found


def _checkpoint(slug: str, scales: tuple[str, ...], skipped: list[str], path: Path) -> Path:
    tensors = _tensors(EXPORTS[slug], scales)
    config = json.loads(EXPORTS[slug]["files"]["config.json"])
    embeddings = next(name for name in tensors if name.endswith("embed_tokens.weight"))
    head = "language_model.lm_head" if embeddings.startswith("language_model") else "lm_head"
    tensors[f"{head}.weight"] = tensors[embeddings]
    for part in (config, config.get("text_config", {})):
        part["tie_word_embeddings"] = False
    in_blocks = scales == ("blocks",)
    config["quantization_config"] = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic" if in_blocks else "static",
        "weight_block_size": [128, 128] if in_blocks else None,
        "modules_to_not_convert": skipped,
    }
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        end = at + SIZES[dtype] * prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    line = {
        "files": {"config.json": json.dumps(config)},
        "shards": {"model.safetensors": (json.dumps(header), at)},
    }
    return write(line, path)


@pytest.mark.parametrize(("slug", "scales", "skipped", "loads"), CASES)
def test_a_release_loads_scales_under_the_names_that_its_class_takes(
    slug: str,
    scales: tuple[str, ...] | str,
    skipped: list[str],
    loads: tuple[bool, bool],
    tmp_path: Path,
) -> None:
    names = (scales,) if isinstance(scales, str) else scales
    got = ask(_checkpoint(slug, names, skipped, tmp_path / "m"))
    expected = ["yes" if each else "no" for each in loads]
    assert [got[release].answer for release in RELEASES] == expected
