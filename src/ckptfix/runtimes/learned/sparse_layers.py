"""Which layers have experts: keys of config.json that every class that has them reads alike.

Rows say what layers with and without experts hold, not which is which. Sources: vllm 0.33.0,
vllm/model_executor/models/{bailing_moe,deepseek_v2,ernie45_moe}.py; sglang 0.5.23,
sglang/srt/models/{bailing_moe,deepseek_v2,ernie4}.py.
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from ckptfix.checkpoint.model_config import ModelConfig

_FIRST: Final = "first_k_dense_replace"
_EVERY: Final = "moe_layer_freq"
_START: Final = "moe_layer_start_index"
_END: Final = "moe_layer_end_index"
_INTERVAL: Final = "moe_layer_interval"
_LAYERS: Final = "layers"


def _has_by(key: str, config: Mapping[str, Any], layer: int) -> bool | None:
    """Whether a layer has experts by a key and what goes with it; None where that is not known."""
    first, every = config.get(key), config.get(_EVERY) or 1
    if not isinstance(first, int):
        return None
    if key == _FIRST:
        return layer >= first and layer % every == 0 if isinstance(every, int) else None
    end, interval = config.get(_END), config.get(_INTERVAL, 1)
    if not isinstance(end, int | None) or not isinstance(interval, int) or interval <= 0:
        return None
    is_after = end is not None and 0 <= end < layer
    return layer >= first and not is_after and (layer + 1) % interval == 0


def misplaced(config: ModelConfig, layers: Mapping[int, bool]) -> Iterator[str]:
    """The first layer that has experts where config.json says that it has none, or the reverse.

    Args:
        config: of the language model; layers after those that it declares are draft layers.
        layers: stored layer -> whether it has experts.
    """
    key = _FIRST if isinstance(config.values.get(_FIRST), int) else _START
    number = config.num_hidden_layers
    for layer, has_experts in sorted(layers.items()):
        if number is not None and layer >= number:
            return
        if _has_by(key, config.values, layer) not in (None, has_experts):
            what = "experts, and none" if has_experts else "no experts, but some"
            yield f"layer {layer:,} has {what} by {key} of config.json"
            return


def _has_experts(names: Set[str]) -> bool:
    return any(name.startswith("experts.") or ".experts." in name for name in names)


def stored_layers(blocks: Mapping[str, Set[str]]) -> Mapping[int, bool]:
    """Number of a layer -> whether it has experts, of the list of layers where some have.

    Args:
        blocks: name of a block -> names below it.
    """
    of_list: dict[str, dict[int, bool]] = {}
    for block, names in blocks.items():
        head, _, number = block.rpartition(".")
        if head.rpartition(".")[2] == _LAYERS and number.isdigit():
            of_list.setdefault(head, {})[int(number)] = _has_experts(names)
    return next((layers for layers in of_list.values() if any(layers.values())), {})
