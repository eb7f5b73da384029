"""What an export makes of a model's linear layers: the metadata in params.json, and tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mistral_cases.models import Model
from truth_loop.case import Tensor

Tensors = dict[str, Tensor]
Export = tuple[dict[str, Any], Tensors]
"""(params.json, tensors)."""


def plain(model: Model) -> Export:
    """Not quantized."""
    weights: Tensors = {f"{name}.weight": ("BF16", shape) for name, shape in model.linears.items()}
    return dict(model.params), weights | _others(model)


def own_fp8(model: Model, *, activations: str | None = "TENSOR") -> Export:
    """Mistral's own FP8: Ministral 3, Mistral Large 3, Devstral 2."""
    tensors = _others(model)
    for name, shape in model.linears.items():
        tensors[f"{name}.weight"] = "F8_E4M3", shape
        tensors[f"{name}.qscale_weight"] = "F32", ()
        if activations != "NO_SCALES":
            tensors[f"{name}.qscale_act"] = "F32", ()
    scheme = {"qformat_weight": "fp8_e4m3"} | ({"qscheme_act": activations} if activations else {})
    return {**model.params, "quantization": scheme}, tensors


def compressed(
    model: Model,
    kind: str,
    *,
    ignore: Sequence[str] = (),
    left_out: Callable[[str], bool] = lambda name: False,  # noqa: ARG005 - a default
    key: str = "quantization_config",
    scale: str = "weight_scale",
) -> Export:
    """compressed-tensors: `nvfp4`, or `fp8` by channel with dynamic inputs.

    Args:
        model: the model.
        kind: of the two.
        ignore: names in the list of that name.
        left_out: whether a linear layer is not quantized.
        key: of params.json.
        scale: how the scale of an FP8 weight is called.
    """
    tensors = _others(model)
    for name, shape in model.linears.items():
        rows, columns = shape
        if left_out(name):
            tensors[f"{name}.weight"] = "BF16", shape
        elif kind == "nvfp4":
            tensors[f"{name}.weight_packed"] = "U8", (rows, columns // 2)
            tensors[f"{name}.weight_scale"] = "F8_E4M3", (rows, columns // 16)
            tensors[f"{name}.weight_global_scale"] = "F32", (1,)
            tensors[f"{name}.input_global_scale"] = "F32", (1,)
        else:
            tensors[f"{name}.weight"] = "F8_E4M3", shape
            tensors[f"{name}.{scale}"] = "BF16", (rows, 1)
    metadata = {
        "quant_method": "compressed-tensors",
        "format": _LAYOUTS[kind],
        "quantization_status": "compressed",
        "kv_cache_scheme": None,
        "ignore": list(ignore),
        "config_groups": {"group_0": {**_GROUPS[kind], "format": _LAYOUTS[kind]}},
        "version": "0.13.0",
    }
    return {**model.params, key: metadata}, tensors


def modelopt_fp8(model: Model, *, ignore: Sequence[str] = ("lm_head",)) -> Export:
    """ModelOpt's FP8 under the names of Mistral's format."""
    tensors = _others(model)
    for name, shape in model.linears.items():
        tensors[f"{name}.weight"] = "F8_E4M3", shape
        tensors[f"{name}.weight_scale"] = "F32", ()
        tensors[f"{name}.input_scale"] = "F32", ()
    metadata = {
        "quant_method": "modelopt",
        "quant_algo": "FP8",
        "producer": {"name": "modelopt", "version": "0.47.0"},
        "ignore": list(ignore),
    }
    return {**model.params, "quantization_config": metadata}, tensors


def _others(model: Model) -> Tensors:
    return {name: ("BF16", shape) for name, shape in model.others.items()}


_LAYOUTS: Final = {"nvfp4": "nvfp4-pack-quantized", "fp8": "float-quantized"}
_GROUPS: Final[Mapping[str, Mapping[str, Any]]] = {
    "nvfp4": {
        "targets": ["Linear"],
        "weights": {
            "num_bits": 4,
            "type": "float",
            "strategy": "tensor_group",
            "group_size": 16,
            "symmetric": True,
            "dynamic": False,
        },
        "input_activations": {
            "num_bits": 4,
            "type": "float",
            "strategy": "tensor_group",
            "group_size": 16,
            "symmetric": True,
            "dynamic": "local",
        },
    },
    "fp8": {
        "targets": ["Linear"],
        "weights": {
            "num_bits": 8,
            "type": "float",
            "strategy": "channel",
            "symmetric": True,
            "dynamic": False,
        },
        "input_activations": {
            "num_bits": 8,
            "type": "float",
            "strategy": "token",
            "symmetric": True,
            "dynamic": True,
        },
    },
}
