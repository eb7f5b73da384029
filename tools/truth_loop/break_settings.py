"""Ways to break config.json around the quantization metadata, and files of others next to it."""

import json
from typing import Any, Final

from truth_loop.draft import Draft

COUNTS: Final = (
    *("num_hidden_layers", "num_hidden_layers", "vocab_size", "num_experts", "num_local_experts"),
    *("n_routed_experts", "n_routed_experts", "n_shared_experts", "num_nextn_predict_layers"),
    *("num_experts_per_tok", "decoder_sparse_step"),
)
SIZES: Final = (
    *("hidden_size", "intermediate_size", "moe_intermediate_size", "head_dim"),
    *("moe_shared_expert_intermediate_size", "num_attention_heads", "num_key_value_heads"),
    *("mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel"),
)


def count(draft: Draft) -> str | None:
    """How many of something config.json promises."""
    held = [key for key in COUNTS if isinstance(draft.text.get(key), int)]
    return _number(draft, held, (1, 1, -1, -1)) if held else None


def size(draft: Draft) -> str | None:
    """A size of config.json, to half or double: odd ones stop a class before it builds."""
    held = [key for key in SIZES if isinstance(draft.text.get(key), int)]
    return _number(draft, held, (None, 0)) if held else None


def _number(draft: Draft, keys: list[str], changes: tuple[int | None, ...]) -> str | None:
    key, change = draft.random.choice(keys), draft.random.choice(changes)
    old = draft.text[key]
    new = old * 2 if change is None else old + change if change else old // 2
    if new == old or new < 0:
        return None
    draft.text[key] = new
    return f"{key} {old} -> {new}"


SWITCHES: Final = (
    *("tie_word_embeddings", "tie_word_embeddings", "attention_bias", "mlp_bias", "use_bias"),
    *("use_conv_bias", "mamba_proj_bias", "norm_topk_prob", "use_qk_norm", "qk_norm"),
)


def switch(draft: Draft) -> str | None:
    """A switch of config.json, turned or removed."""
    holders = [draft.config, draft.text]
    found = [(h, k) for h in holders for k in SWITCHES if isinstance(h.get(k), bool)]
    if not found:
        return None
    holder, key = draft.random.choice(found)
    if draft.random.random() < 0.25:
        return f"{key} removed, was {holder.pop(key)}"
    holder[key] = not holder[key]
    return f"{key} -> {holder[key]}"


def layer_kinds(draft: Draft) -> str | None:
    """The kinds of the layers, which tensors have to follow."""
    text = draft.text
    key = next(
        (
            k
            for k in ("layers_block_type", "mlp_only_layers", "layer_types")
            if text.get(k) is not None
        ),
        None,
    )
    if key is None:
        return None
    old = list(text[key])
    how = draft.random.choice(["swap", "shorter", "longer", "removed", "changed"])
    match how:
        case "removed":
            del text[key]
        case "shorter" if old:
            text[key] = old[:-1]
        case "longer":
            text[key] = [*old, old[-1] if old else 0]
        case "changed" if old:
            at = draft.random.randrange(len(old))
            others = sorted({*map(str, old), "mlp"} - {str(old[at])})
            text[key] = [
                *old[:at],
                1 if key == "mlp_only_layers" else draft.random.choice(others),
                *old[at + 1 :],
            ]
        case _:
            text[key] = list(reversed(old))
    return f"{key} {how}" if text.get(key) != old else None


def foreign_file(draft: Draft) -> str | None:
    """Files of another tool next to ours."""
    name, value = draft.random.choice(
        [
            ("quantize_config.json", {"bits": 4, "group_size": 128, "quant_method": "gptq"}),
            (
                "quant_config.json",
                {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"},
            ),
            ("quant_cfg.json", {"quant_algo": "W4A16_AWQ", "has_zero_point": False}),
            (
                "params.json",
                {"dim": 64, "n_layers": 2, "quantization": {"qformat_weight": "fp8_e4m3"}},
            ),
            ("adapter_config.json", {"peft_type": "LORA", "r": 8}),
            ("generation_config.json", {"_from_model_config": True}),
            ("preprocessor_config.json", {"image_processor_type": "SiglipImageProcessor"}),
            ("recipe.yaml", {"quant_stage": {}}),
            ("pytorch_model.bin.index.json", {"weight_map": {}}),
        ]
    )
    draft.files[name] = json.dumps(value)
    return name


def quant_key(draft: Draft) -> str | None:
    """A key of the quantization metadata that is null, empty, missing or foreign."""
    section = draft.config.get("quantization_config")
    if not isinstance(section, dict):
        return None
    key = draft.random.choice(
        [*sorted(section), "modules_to_not_convert", "weight_block_size", "activation_scheme"]
    )
    new: Any = draft.random.choice(
        [None, {}, [], "", "missing", 0, "text", [128, 128], ["lm_head"]]
    )
    if new == "missing":
        if key not in section:
            return None
        del section[key]
    else:
        section[key] = new
    return f"{key} = {new!r}"
