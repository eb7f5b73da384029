"""The smallest checkpoint of what was met in the field with other quantizers than ModelOpt.

Each function writes one; `threads.toml` says which thread it is for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.builders import Shapes, bf16, write_checkpoint
from tests.checkpoint.test_quantizers import mlx
from tests.rules.test_own_names import FP8, ROUND, blocks, groups, packed
from tests.runtimes.gemma_4 import gemma_4
from tests.runtimes.whole_models import CONFIG, GPTQ, LINEARS, METADATA, NORMS, model

QUARK_INT4 = {
    "quant_method": "quark",
    "export": {"kv_cache_group": [], "pack_method": "reorder"},
    "exclude": ["lm_head"],
    "layer_quant_config": {},
    "global_quant_config": {
        "weight": {"dtype": "int4", "qscheme": "per_group", "group_size": 32, "symmetric": True}
    },
}


def quark(name: str) -> Shapes:
    return {
        f"{name}.weight": ("I32", (64, 8)),
        f"{name}.weight_scale": ("BF16", (2, 64)),
        f"{name}.weight_zero_point": ("I32", (2, 8)),
    }


def mxfp4(name: str) -> Shapes:
    return {f"{name}.weight_packed": ("U8", (64, 32)), f"{name}.weight_scale": ("U8", (64, 2))}


def mxfp8(name: str) -> Shapes:
    return {f"{name}.weight": ("F8_E4M3", (64, 64)), f"{name}.weight_scale": ("U8", (64, 2))}


def blocks_in_another_spelling(at: Path) -> Path:
    """block_name_to_quantize is a prefix of no module that the release asks for."""
    return model(at, ROUND | {"block_name_to_quantize": "model.decoder.layers"}, GPTQ)


def one_member_in_extra_config(at: Path) -> Path:
    """extra_config leaves out one of the members that are stored the same way."""
    entries = {"model.layers.0.self_attn.q_proj": {"bits": 16}}
    return model(at, ROUND | {"extra_config": entries}, GPTQ)


def layer_2_meets_layer_20(at: Path) -> Path:
    """The expression for layer 2 is searched for, and found in layer 20."""
    tensors: Shapes = {**bf16("model.embed_tokens", 64, 64), **bf16("lm_head", 64, 64)}
    tensors["model.norm.weight"] = ("BF16", (64,))
    for number in range(21):
        layer = f"model.layers.{number}."
        for name in LINEARS:
            plain = number == 2
            tensors |= bf16(layer + name, 64, 64) if plain else GPTQ(layer + name)
        for norm in NORMS:
            tensors[f"{layer}{norm}.weight"] = ("BF16", (64,))
    metadata = ROUND | {"extra_config": {r".*model\.layers\.2.*": {"bits": 16}}}
    config = CONFIG | {"num_hidden_layers": 21}
    return write_checkpoint(at / "model", tensors, metadata, extra_config=config)


def targets_without_one_member(at: Path) -> Path:
    """Targets name q_proj and k_proj; the release asks for all of qkv_proj."""
    names = [f"model.layers.0.{name}" for name in LINEARS if "v_proj" not in name]
    return model(at, groups(*names), packed)


def unquantized_but_not_in_exclude(at: Path) -> Path:
    """Quark leaves a module in float, and does not write that into exclude."""
    return model(at, QUARK_INT4, quark, ("mlp.down_proj",))


def rule_leaves_out_what_is_quantized(at: Path) -> Path:
    """A rule of GPTQ leaves a module out that was quantized anyway."""
    return model(at, METADATA | {"dynamic": {"-:.*o_proj": {}}}, GPTQ)


def target_in_the_group_of_another_format(at: Path) -> Path:
    """Of two groups, MXFP4 and MXFP8, the wrong one names a module."""

    def group(bits: int, layout: str, *names: str) -> dict[str, Any]:
        arguments = {"num_bits": bits, "type": "float", "symmetric": True, "strategy": "group",
                     "group_size": 32}  # fmt: skip
        inputs = {**arguments, "dynamic": True}
        targets = [f"model.layers.0.{name}" for name in names]
        return {"targets": targets, "format": layout, "weights": arguments,
                "input_activations": inputs}  # fmt: skip

    attention = LINEARS[:4]
    metadata = {
        "quant_method": "compressed-tensors",
        "format": "mixed-precision",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": group(4, "mxfp4-pack-quantized", *LINEARS[4:6], *attention[3:]),
            "group_1": group(8, "mxfp8-quantized", *attention[:3], LINEARS[6]),
        },
    }
    wide = {f"model.layers.0.{name}" for name in (*attention, LINEARS[6])}
    return model(at, metadata, lambda name: mxfp8(name) if name in wide else mxfp4(name))


def sizes_without_a_method(at: Path) -> Path:
    """bits and group_size, and no quant_method: MLX."""
    return model(at, {"group_size": 64, "bits": 4}, mlx)


def mxfp8_that_names_itself(at: Path) -> Path:
    """MXFP8 with quant_method mxfp8, which older releases take for a way to quantize on load."""
    metadata = {
        "quant_method": "mxfp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [1, 32],
        "ignored_layers": ["lm_head", "model.embed_tokens"],
    }
    return model(at, metadata, mxfp8)


def part_of_a_name_in_modules_to_not_convert(at: Path) -> Path:
    """A part of the name: transformers searches for it, vLLM compares whole names."""
    metadata = FP8 | {"modules_to_not_convert": ["mlp.down_proj", "lm_head"]}
    return model(at, metadata, blocks, ("mlp.down_proj",))


def ignored_in_the_spelling_of_a_wrapper(at: Path) -> Path:
    """`ignore` has the names of the classes at export, and the tensors those of the source."""
    metadata = groups("Linear", ignore=("lm_head", "language_model.model.layers.0.mlp.down_proj"))
    return model(at, metadata, packed, ("mlp.down_proj",))


def ignored_and_packed_all_the_same(at: Path) -> Path:
    """An expression in `ignore` names modules that were packed when the model was saved."""
    return model(at, groups("Linear", ignore=("lm_head", r"re:.*mlp\.down_proj$")), packed)


def experts_of_gemma_4_one_by_one(at: Path) -> Path:
    """A text model whose experts are stored as `experts.0.gate_proj` and so on."""
    return gemma_4(at, bank="experts")


MECHANISMS: dict[str, Callable[[Path], Path]] = {
    made.__name__: made
    for made in (
        blocks_in_another_spelling,
        one_member_in_extra_config,
        layer_2_meets_layer_20,
        targets_without_one_member,
        unquantized_but_not_in_exclude,
        rule_leaves_out_what_is_quantized,
        target_in_the_group_of_another_format,
        sizes_without_a_method,
        mxfp8_that_names_itself,
        part_of_a_name_in_modules_to_not_convert,
        ignored_in_the_spelling_of_a_wrapper,
        ignored_and_packed_all_the_same,
        experts_of_gemma_4_one_by_one,
    )
}
