"""What tools/record_lookups.py calls of a SGLang release."""

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from ckptfix.runtimes.profile_store import load_profile

SHARED: Final = Path(__file__).resolve().parents[3] / "shared"
FLOAT_BITS: Final = 16
EXPERT_PARTS: Final = ("gate_proj", "up_proj", "down_proj")


class SglangRelease:
    """The classes of the imported release."""

    def __init__(self, version: str) -> None:
        self.profile = load_profile("sglang", version)
        sys.path.insert(0, str(SHARED / "oracle" / "sglang"))
        import_module("sglang_oracle").start((10, 0))
        head = import_module("sglang.srt.layers.vocab_parallel_embedding")
        self.classes = {
            "linear": import_module("sglang.srt.layers.linear").ReplicatedLinear,
            "moe": import_module("sglang.srt.layers.moe.fused_moe_triton").FusedMoE,
            "lm_head": head.ParallelLMHead,
            "embedding": head.VocabParallelEmbedding,
        }

    def knows(self, architecture: str) -> bool:
        """Whether it registers a model class."""
        return architecture in self.profile.architectures

    def bind(self, case: Mapping[str, Any]) -> Any:
        """The config as the loader makes it of the metadata of a case."""
        method, architecture = case["method"], case["architectures"][0]
        known = self.profile.architectures[architecture]
        packed = {name: list(members) for name, members in (known.packed_modules or {}).items()}
        if method == "quark":
            packed["gate_up_proj"] = ["gate_proj", "up_proj"]
            packed["fused_qkv_a_proj_with_mqa"] = ["q_a_proj", "kv_a_proj_with_mqa"]
        config = config_of(method, json.loads(json.dumps(case["metadata"])), packed)
        if known.mapper is not None:
            kinds = ("substr", "prefix", "suffix")
            given = {f"orig_to_new_{kind}": dict(getattr(known.mapper, kind)) for kind in kinds}
            mapper = import_module("sglang.srt.models.utils").WeightsMapper
            config.apply_weight_name_mapper(mapper(**given))
        return config

    def answer(self, config: Any, method: str, name: str, kind: str) -> object:
        """What a config answers for a layer."""
        return ASK[method](config, object.__new__(self.classes[kind]), name, kind)


def compressed(config: Any, layer: Any, name: str, kind: str) -> object:
    """A scheme of compressed-tensors."""
    if kind == "embedding":
        return "unquantized"
    if kind == "moe":
        config._add_fused_moe_to_target_scheme_map()
        found = [config.get_scheme_dict(layer, f"{name}.0.{part}") for part in EXPERT_PARTS]
        if any(each != found[0] for each in found):
            return "error"
        scheme = found[0]
    elif kind == "lm_head":
        if not hasattr(config, "get_lm_head_scheme"):  # before 0.5.20 a head is no linear layer
            return "unquantized"
        config.get_linear_scheme = config.get_scheme_dict
        scheme = config.get_lm_head_scheme(layer=layer, layer_name=name)
    else:
        scheme = config.get_scheme_dict(layer, name)
    if scheme is None:
        return "unquantized"
    weights = scheme["weights"]
    return {
        "bits": weights.num_bits,
        "type": getattr(weights.type, "value", weights.type),
        "strategy": getattr(weights.strategy, "value", weights.strategy),
        "act": scheme["input_activations"] is not None,
    }


def auto_round(config: Any, layer: Any, name: str, kind: str) -> object:
    """(bits, group size, symmetric) of AutoRound."""
    if kind == "embedding":
        return "unquantized"
    bits, size, symmetric = config.get_layer_config(layer, name)
    if bits >= FLOAT_BITS:
        return "unquantized"
    return {"bits": bits, "group_size": size, "sym": symmetric}


def gptq(config: Any, layer: Any, name: str, kind: str) -> object:
    """The same of GPTQ; a method is replaced by what it is given."""
    from sglang.srt.layers.quantization import utils

    if kind == "moe":
        return {"bits": config.weight_bits, "group_size": config.group_size, "sym": config.is_sym}
    if kind == "embedding" or (kind == "lm_head" and not config.lm_head_quantized):
        return "unquantized"
    if utils.get_dynamic_override(config, layer_name=name) is False:
        return "unquantized"
    own = SimpleNamespace(**vars(config), TYPE_MAP=type(config).TYPE_MAP)
    own.get_name = config.get_name
    utils.override_config(own, prefix=name)
    return {"bits": own.weight_bits, "group_size": own.group_size, "sym": own.is_sym}


def awq(config: Any, layer: Any, name: str, kind: str) -> object:
    """Bits of AWQ."""
    skips = sys.modules[type(config).__module__].is_layer_skipped_awq

    if kind == "embedding" or (kind == "lm_head" and not config.lm_head_quantized):
        return "unquantized"
    skipped = skips(name, config.modules_to_not_convert)
    return "unquantized" if skipped else {"bits": config.weight_bits}


def fp8(config: Any, layer: Any, name: str, kind: str) -> object:
    """Whether it is FP8."""
    from sglang.srt.layers.quantization.utils import is_layer_skipped

    if kind in ("lm_head", "embedding"):
        return "unquantized"
    mapping = config.packed_modules_mapping
    skipped = is_layer_skipped(name, config.ignored_layers, fused_mapping=mapping)
    return "unquantized" if skipped else {"fp8": True}


def quark(config: Any, layer: Any, name: str, kind: str) -> object:
    """Weight and group size of Quark."""
    from sglang.srt.layers.quantization.quark.utils import should_ignore_layer

    if kind in ("lm_head", "embedding"):
        return "unquantized"
    mapping = config.packed_modules_mapping
    if should_ignore_layer(name, ignore=config.exclude_layers, fused_mapping=mapping):
        return "unquantized"
    found = config._find_matched_config(name, layer)
    weight = found.get("weight")
    first = weight[0] if isinstance(weight, list) else weight
    return {"weight": first.get("dtype"), "group_size": first.get("group_size")}


ASK: Final = {
    "compressed-tensors": compressed,
    "auto-round": auto_round,
    "gptq": gptq,
    "awq": awq,
    "fp8": fp8,
    "quark": quark,
}


def config_of(method: str, metadata: Mapping[str, Any], packed: dict[str, list[str]]) -> Any:
    """The config as the loader makes it."""
    from sglang.srt.layers.quantization import get_quantization_config

    marlin = {"gptq": "gptq_marlin", "awq": "awq_marlin"}
    named = get_quantization_config(marlin.get(method, method))
    return named.from_config({**metadata, "packed_modules_mapping": packed})
