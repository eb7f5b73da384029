"""The tensors that a module can have, one row per role; others may have any name."""

from collections.abc import Mapping
from typing import Final

from ckptfix.checkpoint.dialects import registry
from ckptfix.checkpoint.dialects.interface import Role

ROLES: Final = (
    Role("weight", by_row=True, is_weight=True),
    # `also`: as Mistral's own format spells them (vllm 0.33.0, models/mistral.py).
    Role("weight_scale", is_scale=True, by_row=True, fused=True, also="qscale_weight"),
    Role("weight_scale_2", "scalar", is_scale=True, optional=True, fused=True),
    Role("input_scale", "scalar", is_scale=True, optional=True, fused=True, also="qscale_act"),
    # Of formats that models are published in: DeepSeek V4. Gemma 4's routers and hyper-connections
    # have a `scale` of their own (transformers 5.19.0: modeling_{gemma4,deepseek_v4}.py).
    Role("scale", by_row=True, of_models=True),
    Role("k_scale", is_scale=True, of_kv_cache=True, also="k_fake_quantizer.qscale_act"),
    Role("v_scale", is_scale=True, of_kv_cache=True, also="v_fake_quantizer.qscale_act"),
    Role("k_bias", of_kv_cache=True),
    Role("v_bias", of_kv_cache=True),
    # Packed along the input or output in I32, a layout that AutoGPTQ and AutoAWQ introduced.
    Role("qweight", is_weight=True),
    Role("qzeros", optional=True),
    Role("scales", is_scale=True, fused=True),
    Role("g_idx", optional=True),
    # Names shared by compressed-tensors and AutoRound, or by compressed-tensors and Quark.
    Role("weight_packed", by_row=True, is_weight=True),
    Role("weight_global_scale", "scalar", is_scale=True, optional=True),
    Role("input_global_scale", "scalar", is_scale=True, optional=True),
    Role("weight_zero_point", optional=True),
    Role("input_zero_point", optional=True),
    # Fine-grained FP8: of transformers, and of AutoRound.
    Role("weight_scale_inv", is_scale=True),
    *registry.ROLES,
)
"""Those that several quantizers store, and those of one dialect."""

WEIGHTS: Final = tuple(role.name for role in ROLES if role.is_weight)
KV_ROLES: Final = tuple(role.name for role in ROLES if role.of_kv_cache)
KV_SCALES: Final = tuple(role.name for role in ROLES if role.of_kv_cache and role.is_scale)
KV_BIASES: Final = tuple(role.name for role in ROLES if role.of_kv_cache and not role.is_scale)
SCALES: Final = tuple(role.name for role in ROLES if role.is_scale)
NAMES_OF_MODELS: Final = tuple(role.name for role in ROLES if role.of_models)
OPTIONAL_COMPANIONS: Final = tuple(role for role in ROLES if role.optional)
SPELLINGS: Final[Mapping[str, str]] = {role.also: role.name for role in ROLES if role.also}
"""Another spelling -> role."""
OWN_CACHE_SPELLING: Final = "_fake_quantizer.qscale_act"
"""End of the name of a scale of a KV cache in Mistral's own format."""
OWN_SPELLINGS: Final = (".qscale_weight", ".qscale_act")
"""Ends of names of scales in Mistral's own format."""
OUTPUT_SCALE: Final = "output_scale"
"""Of the KV cache next to some layers of some quantizers, and a leftover elsewhere: no role."""
FUSED_SUFFIXES: Final[Mapping[str, str]] = {f"_{r.name}": r.name for r in ROLES if r.fused}
"""End of the name of a fused parameter's companion -> role."""
