"""The tensors that a module can have beside others of any name: one row a role."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Role:
    """What one tensor of a module is to it."""

    name: str
    holds: Literal["scalar", "inputs", ""] = ""
    """One F32 value for the module, or a value for each input column; empty: by the format."""
    is_scale: bool = False
    """Its values are factors, so that their magnitude can be judged."""
    optional: bool = False
    """A companion that a format has or has not; it tells formats apart."""
    of_kv_cache: bool = False
    """It says nothing about the weight."""
    by_row: bool = False
    """Split with the rows of the weight, where it has more than one value."""
    fused: bool = False
    """Llama 4 and GPT-OSS keep 3-D expert parameters: `experts.gate_up_proj_weight_scale`."""
    also: str = ""
    """Another spelling."""


ROLES: Final = (
    Role("weight", by_row=True),
    Role("weight_scale", is_scale=True, by_row=True, fused=True),
    Role("weight_scale_2", "scalar", is_scale=True, optional=True, fused=True),
    Role("input_scale", "scalar", is_scale=True, optional=True, fused=True),
    Role("pre_quant_scale", "inputs", is_scale=True, optional=True),
    # ModelOpt's transformers path leaks the quantizer's own names (0.47.0 fixture llama-nvfp4-svd).
    Role("svdquant_lora_a", optional=True, also="weight_quantizer._svdquant_lora_a"),
    Role("svdquant_lora_b", optional=True, by_row=True, also="weight_quantizer._svdquant_lora_b"),
    Role("k_scale", is_scale=True, of_kv_cache=True),
    Role("v_scale", is_scale=True, of_kv_cache=True),
    Role("k_bias", of_kv_cache=True),
    Role("v_bias", of_kv_cache=True),
)

KV_ROLES: Final = tuple(role.name for role in ROLES if role.of_kv_cache)
KV_SCALES: Final = tuple(role.name for role in ROLES if role.of_kv_cache and role.is_scale)
SCALES: Final = tuple(role.name for role in ROLES if role.is_scale)
OPTIONAL_COMPANIONS: Final = tuple(role for role in ROLES if role.optional)
SPELLINGS: Final[Mapping[str, str]] = {role.also: role.name for role in ROLES if role.also}
"""Another spelling -> role."""
FUSED_SUFFIXES: Final[Mapping[str, str]] = {f"_{r.name}": r.name for r in ROLES if r.fused}
"""End of the name of a fused parameter's companion -> role."""
