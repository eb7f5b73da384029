"""What tools/record_lookups.py calls of a vLLM release: `get_quant_method` of its config classes.

What that would build is replaced by stand-ins, which name the class: a layer is an instance
of its class that was never built, so no kernel can be chosen for it. Releases before 0.24.0 import
the package gguf, which must be on PYTHONPATH.
"""

import json
import sys
import types
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ckptfix.runtimes.profile_store import load_profile

SHARED: Final = Path(__file__).resolve().parents[3] / "shared"
QUANTIZATION: Final = "vllm.model_executor.layers.quantization"
FLOAT_BITS: Final = 16
EXPERT_PARTS: Final = ("gate_proj", "up_proj", "down_proj")
COMPILED: Final = ("vllm._C", "vllm._moe_C", "vllm._qutlass_C", "vllm._C_stable_libtorch")
"""Modules that a wheel has compiled; nothing in them decides by name."""
CORRECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "gptq": ("gptq_marlin", "auto_gptq"),
    "awq": ("awq_marlin", "auto_awq"),
    "auto-round": ("inc",),
}
"""quant_method -> methods, one of which the release corrects it to."""


class _Found(Exception):  # noqa: N818 - an answer, not an error
    """What a class found for a layer before it would build it."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self.fields = dict(fields)


class VllmRelease:
    """The classes of the imported release."""

    def __init__(self, version: str) -> None:
        self.profile = load_profile("vllm", version)
        sys.path.insert(0, str(SHARED / "oracle"))
        sys.modules.update({name: types.ModuleType(name) for name in COMPILED})
        import_module("boot").boot((10, 0))
        self.get_config = import_module(QUANTIZATION).get_quantization_config
        self.mapper = import_module("vllm.model_executor.models.utils").WeightsMapper
        head = import_module("vllm.model_executor.layers.vocab_parallel_embedding")
        self.classes = {
            "linear": import_module("vllm.model_executor.layers.linear").ReplicatedLinear,
            "moe": _experts_class(),
            "lm_head": head.ParallelLMHead,
            "embedding": head.VocabParallelEmbedding,
        }

    def knows(self, architecture: str) -> bool:
        """Whether it registers a model class."""
        return architecture in self.profile.architectures

    def bind(self, case: Mapping[str, Any]) -> Any:
        """The config as `configure_quant_config` and `SupportsQuant` leave it."""
        metadata = json.loads(json.dumps(case["metadata"]))
        config = self.get_config(_corrected(case["method"])).from_config(metadata)
        if listed := getattr(config, "modules_in_block_to_quantize", None):
            lists = [each if isinstance(each, list) else [each] for each in listed]
            config.modules_in_block_to_quantize = [name for names in lists for name in names]
        config.packed_modules_mapping = {}
        for architecture in case["architectures"]:
            known = self.profile.architectures[architecture]
            if (rules := known.mapper) is not None:
                kinds = ("regex", "substr", "prefix", "suffix")
                given = {f"orig_to_new_{k}": dict(getattr(rules, k)) for k in kinds}
                given["orig_to_new_regex"] = _compiled(given["orig_to_new_regex"])
                config.apply_vllm_mapper(self.mapper(**{k: v for k, v in given.items() if v}))
            packed = {name: list(members) for name, members in (known.packed_modules or {}).items()}
            config.packed_modules_mapping.update(packed)
        return config

    def answer(self, config: Any, method: str, name: str, kind: str) -> object:
        """What a config answers for a layer."""
        layer = object.__new__(self.classes[kind])
        layer.__dict__["moe_config"] = None
        try:
            built = ASK[method](config, layer, name)
        except _Found as found:
            return found.fields
        return "unquantized" if built is None or str(built).startswith("Unquantized") else built


def _experts_class() -> Any:
    """The class of fused experts that a config class is queried about."""
    package = import_module("vllm.model_executor.layers.fused_moe")
    try:
        return package.RoutedExperts
    except AttributeError:
        return package.FusedMoE


def _compiled(rules: Mapping[str, Any]) -> dict[Any, Any]:
    regex = import_module("regex")
    return {regex.compile(pattern): new for pattern, new in rules.items()}


def _corrected(method: str) -> str:
    known = import_module(QUANTIZATION).QUANTIZATION_METHODS
    return next((name for name in CORRECTED.get(method, ()) if name in known), method)


def _with_stand_ins(module: types.ModuleType) -> None:
    """Replace every method of layers in a module by one that only has its name."""
    for name, value in vars(module).copy().items():
        if isinstance(value, type) and name.endswith("Method"):
            setattr(module, name, lambda *_, name=name, **__: types.SimpleNamespace(name=name))


def _name_of(built: Any) -> str | None:
    return None if built is None else getattr(built, "name", type(built).__name__)


def _module_of(config: Any) -> Any:
    return sys.modules[type(config).__module__]


def _leave_experts(config: Any) -> Any:
    """Give the module of a config a stand-in for unquantized experts, which need a layer."""
    module = _module_of(config)
    stand_in = type("UnquantizedFusedMoEMethod", (), {"__init__": lambda *_: None})
    module.UnquantizedFusedMoEMethod = stand_in
    return module


def compressed(config: Any, layer: Any, name: str) -> Any:
    """A scheme of compressed-tensors."""

    def stop(scheme: Any) -> Any:
        if scheme is None:
            return None
        weights = scheme["weights"]
        fields = {
            "bits": weights.num_bits,
            "type": getattr(weights.type, "value", weights.type),
            "strategy": getattr(weights.strategy, "value", weights.strategy),
            "act": scheme["input_activations"] is not None,
        }
        raise _Found(fields)

    if type(layer).__name__ in ("FusedMoE", "RoutedExperts"):
        config._add_fused_moe_to_target_scheme_map()
        found = [config.get_scheme_dict(layer, f"{name}.0.{part}") for part in EXPERT_PARTS]
        if any(each != found[0] for each in found):
            return "error"
        return stop(found[-1])
    config.get_scheme = lambda layer, layer_name=None: stop(
        type(config).get_scheme_dict(config, layer, layer_name)
    )
    named = _name_of(config.get_quant_method(layer, name))
    # An embedding: the release looks its scheme up itself, and refuses what it has no layer for.
    return stop(config.get_scheme_dict(layer, name)) if "EmbeddingWNA" in str(named) else named


def auto_round(config: Any, layer: Any, name: str) -> Any:
    """(bits, group size, symmetric) of AutoRound."""

    def stop(raw: tuple[Any, Any, Any]) -> None:
        bits, size, symmetric = raw
        if bits < FLOAT_BITS:
            raise _Found({"bits": bits, "group_size": size, "sym": symmetric})

    def resolved(found: Any) -> Any:
        stop((found.bits, found.group_size, found.sym))

    if hasattr(config, "config_parser"):
        factory: Any = import_module(f"{QUANTIZATION}.inc.schemes.factory")
        factory.resolve_scheme = resolved
        _leave_experts(config)
    else:

        def applied(layer: Any, prefix: str) -> None:
            stop(config.get_layer_config(layer, prefix))

        config.apply_gptq_quant_layer = config.apply_awq_quant_layer = applied
    return _name_of(config.get_quant_method(layer, name))


def gptq(config: Any, layer: Any, name: str) -> Any:
    """The same of GPTQ."""

    def stop(own: Any, *_: Any) -> None:
        raise _Found({"bits": own.weight_bits, "group_size": own.group_size, "sym": own.is_sym})

    utils = import_module(f"{QUANTIZATION}.utils.gptq_utils")
    module = _leave_experts(config)
    if type(layer).__name__ in ("FusedMoE", "RoutedExperts"):
        return _name_of(module.get_moe_quant_method(config, layer, name, stop))
    return _name_of(utils.get_linear_quant_method(config, layer, name, stop))


def awq(config: Any, layer: Any, name: str) -> Any:
    """Bits of AWQ."""
    module = _module_of(config)
    _with_stand_ins(module)
    for check in ("check_marlin_supports_layer", "check_moe_marlin_supports_layer"):
        setattr(module, check, lambda *_, **__: True)
    built = _name_of(config.get_quant_method(layer, name))
    if built is None or built.startswith("Unquantized"):
        return built
    raise _Found({"bits": config.weight_bits})


def fp8(config: Any, layer: Any, name: str) -> Any:
    """Whether it is FP8."""
    _with_stand_ins(_module_of(config))
    built = _name_of(config.get_quant_method(layer, name))
    if built is None or built.startswith("Unquantized"):
        return built
    raise _Found({"fp8": True})


def quark(config: Any, layer: Any, name: str) -> Any:
    """Weight and group size of Quark."""

    def stop(*asked: Any) -> None:
        config.__dict__.pop("_find_matched_config")  # the real one asks itself for every member
        found = config._find_matched_config(*asked)
        weight = found.get("weight")
        first = weight[0] if isinstance(weight, list) else weight
        raise _Found({"weight": first.get("dtype"), "group_size": first.get("group_size")})

    _leave_experts(config)
    config._find_matched_config = stop
    try:
        return _name_of(config.get_quant_method(layer, name))
    finally:
        config.__dict__.pop("_find_matched_config", None)


ASK: Final[Mapping[str, Callable[[Any, Any, str], Any]]] = {
    "compressed-tensors": compressed,
    "auto-round": auto_round,
    "gptq": gptq,
    "awq": awq,
    "fp8": fp8,
    "quark": quark,
}
