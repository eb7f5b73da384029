"""params.json and tensors of small models, with the keys and names of published ones.

Keys: vllm 0.33.0, vllm/transformers_utils/configs/mistral.py; sglang 0.5.23,
sglang/srt/utils/hf_transformers/mistral_utils.py. Names: the `mistral_mapping` and mappers of their
model classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Shapes = Mapping[str, tuple[int, ...]]

WIDTH: Final = 256
INNER: Final = 512
VOCABULARY: Final = 512
LAYERS: Final = 2
_VISION: Final = 64
_VISION_INNER: Final = 128
_PATCH: Final = 16


@dataclass(frozen=True)
class Model:
    """A model without its quantization."""

    params: Mapping[str, Any]
    linears: Shapes
    """Linear layers that an export quantizes: name -> (rows, columns)."""
    others: Shapes
    """All other tensors, with the last part of their names."""


def _params(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "dim": WIDTH,
        "n_layers": LAYERS,
        "head_dim": 64,
        "hidden_dim": INNER,
        "n_heads": 4,
        "n_kv_heads": 2,
        "rope_theta": 1000000.0,
        "norm_eps": 1e-05,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 4096,
        **more,
    }


def _outside() -> dict[str, tuple[int, ...]]:
    return {
        "tok_embeddings.weight": (VOCABULARY, WIDTH),
        "norm.weight": (WIDTH,),
        "output.weight": (VOCABULARY, WIDTH),
    }


def _layers() -> Iterator[tuple[int, str]]:
    return ((number, f"layers.{number}.") for number in range(LAYERS))


def _norms(layer: str) -> dict[str, tuple[int, ...]]:
    return {f"{layer}attention_norm.weight": (WIDTH,), f"{layer}ffn_norm.weight": (WIDTH,)}


def _mlp(place: str, inner: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{place}w1": (inner, WIDTH),
        f"{place}w2": (WIDTH, inner),
        f"{place}w3": (inner, WIDTH),
    }


def _attention(layer: str) -> dict[str, tuple[int, ...]]:
    rows = {"wq": 256, "wk": 128, "wv": 128, "wo": WIDTH}
    return {f"{layer}attention.{name}": (size, WIDTH) for name, size in rows.items()}


def dense(**more: Any) -> Model:  # noqa: ANN401 - JSON
    """As Mistral 7B, Mistral Small, Magistral and Devstral are stored."""
    linears: dict[str, tuple[int, ...]] = {}
    others = _outside()
    for _, layer in _layers():
        linears |= _attention(layer) | _mlp(f"{layer}feed_forward.", INNER)
        others |= _norms(layer)
    if more.get("tied_embeddings"):
        del others["output.weight"]
    return Model(_params(**more), linears, others)


def sparse() -> Model:
    """As Mixtral is stored: experts without a shared one."""
    linears: dict[str, tuple[int, ...]] = {}
    others = _outside()
    for _, layer in _layers():
        linears |= _attention(layer)
        others |= {**_norms(layer), f"{layer}feed_forward.gate.weight": (4, WIDTH)}
        for expert in range(4):
            linears |= _mlp(f"{layer}feed_forward.experts.{expert}.", INNER)
    return Model(_params(moe={"num_experts": 4, "num_experts_per_tok": 2}), linears, others)


def latent(**more: Any) -> Model:  # noqa: ANN401 - JSON
    """As Mistral Large 3 and Small 4 are stored: latent attention, experts and a shared one."""
    heads, nope, rope, value, low, key = 4, 32, 32, 64, 128, 64
    moe = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "expert_hidden_dim": 128,
        "first_k_dense_replace": 1,
        "num_shared_experts": 1,
        "routed_scale": 1.0,
        "num_expert_groups": 1,
        "num_expert_groups_per_tok": 1,
        "expert_parallel": 1,
        "expert_model_parallel": 1,
        "route_every_n": 1,
    }
    params = _params(
        n_kv_heads=heads,
        tied_embeddings=False,
        q_lora_rank=low,
        qk_rope_head_dim=rope,
        qk_nope_head_dim=nope,
        kv_lora_rank=key,
        v_head_dim=value,
        moe=moe,
        llama_4_scaling={"original_max_position_embeddings": 2048, "beta": 0.1},
        yarn={
            "original_max_position_embeddings": 2048,
            "factor": 2,
            "apply_scale": False,
            "beta": 32,
            "alpha": 1,
        },
    )
    linears: dict[str, tuple[int, ...]] = {}
    others = _outside()
    for number, layer in _layers():
        at = f"{layer}attention."
        linears |= {
            f"{at}wq_a": (low, WIDTH),
            f"{at}wq_b": (heads * (nope + rope), low),
            f"{at}wkv_a_with_mqa": (key + rope, WIDTH),
            f"{at}wkv_b": (heads * (nope + value), key),
            f"{at}wo": (WIDTH, heads * value),
        }
        others |= {
            **_norms(layer),
            f"{at}q_a_norm.weight": (low,),
            f"{at}kv_a_norm.weight": (key,),
        }
        if number == 0:
            linears |= _mlp(f"{layer}feed_forward.", INNER)
            continue
        others[f"{layer}gate.weight"] = (4, WIDTH)
        linears |= _mlp(f"{layer}shared_experts.", 128)
        for expert in range(4):
            linears |= _mlp(f"{layer}experts.{expert}.", 128)
    return Model({**params, **more}, linears, others)


def seeing(model: Model, *, merger: bool = True) -> Model:
    """With a vision tower, as Pixtral 12B (no merger), Mistral Small 3.1 and Mistral Large 3."""
    vision: dict[str, Any] = {
        "image_token_id": 10,
        "hidden_size": _VISION,
        "intermediate_size": _VISION_INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_channels": 3,
        "image_size": 64,
        "patch_size": _PATCH,
        "rope_theta": 10000.0,
        "adapter_bias": not merger,
    }
    others: dict[str, tuple[int, ...]] = {
        "vision_encoder.patch_conv.weight": (_VISION, 3, _PATCH, _PATCH),
        "vision_encoder.ln_pre.weight": (_VISION,),
        "vision_language_adapter.w_in.weight": (WIDTH, _VISION),
        "vision_language_adapter.w_out.weight": (WIDTH, WIDTH),
    }
    if merger:
        vision |= {
            "image_break_token_id": 12,
            "image_end_token_id": 13,
            "max_image_size": 64,
            "mm_projector_id": "patch_merge",
            "spatial_merge_size": 2,
            "add_pre_mm_projector_layer_norm": True,
        }
        others["patch_merger.merging_layer.weight"] = (_VISION, 4 * _VISION)
        others["pre_mm_projector_norm.weight"] = (_VISION,)
    else:
        others |= {f"vision_language_adapter.{name}.bias": (WIDTH,) for name in ("w_in", "w_out")}
    for number in range(2):
        layer = f"vision_encoder.transformer.layers.{number}."
        others |= {f"{layer}{norm}.weight": (_VISION,) for norm in ("attention_norm", "ffn_norm")}
        for name in ("wq", "wk", "wv", "wo"):
            others[f"{layer}attention.{name}.weight"] = (_VISION, _VISION)
        for name in ("w1", "w3"):
            others[f"{layer}feed_forward.{name}.weight"] = (_VISION_INNER, _VISION)
        others[f"{layer}feed_forward.w2.weight"] = (_VISION, _VISION_INNER)
    return Model(
        {**model.params, "vision_encoder": vision}, model.linears, {**model.others, **others}
    )
