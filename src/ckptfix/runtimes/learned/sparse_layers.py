"""Which layers have experts or attention: keys of config.json that every class reads alike.

Rows say what layers with and without them hold, not which is which. Sources: vllm 0.33.0,
vllm/model_executor/models/{bailing_moe,deepseek_v2,ernie45_moe,jamba}.py; sglang 0.5.23,
sglang/srt/models/{bailing_moe,deepseek_v2,ernie4}.py.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from typing import Any, Final

from ckptfix.checkpoint.model_config import ModelConfig

_FIRST: Final = "first_k_dense_replace"
_EVERY: Final = "moe_layer_freq"
_START: Final = "moe_layer_start_index"
_END: Final = "moe_layer_end_index"
_INTERVAL: Final = "moe_layer_interval"
_LAYERS: Final = "layers"
_PERIODS: Final[Mapping[str, tuple[str, str]]] = {
    "experts": ("expert_layer_period", "expert_layer_offset"),
    "attention": ("attn_layer_period", "attn_layer_offset"),
}
"""What a layer has -> how often, and from which layer on, in hybrid models."""
_PART: Final = {"experts": "experts.", "attention": "self_attn."}


def _has_by_period(what: str, config: Mapping[str, Any], layer: int) -> bool | None:
    """Whether a layer is one of those that are so many apart; None where that is not known."""
    period, offset = (config.get(key) for key in _PERIODS[what])
    if type(period) is not int or type(offset) is not int or period <= 0:
        return None
    if what == "experts" and config.get("num_experts") == 1:
        return False
    return layer % period == offset


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


def misplaced(config: ModelConfig, blocks: Mapping[str, Set[str]]) -> Iterator[str]:
    """The first layer that has what config.json says that it lacks, or the reverse.

    Args:
        config: of the language model; layers after those that it declares are draft layers.
        blocks: name of a block -> names below it.
    """
    values = config.values
    key = _FIRST if isinstance(values.get(_FIRST), int) else _START
    rules = [("experts", key, partial(_has_by, key, values))]
    rules += [(what, k, partial(_has_by_period, what, values)) for what, (k, _) in _PERIODS.items()]
    for what, named, has_by in rules:
        if named in values:
            yield from _first(config, what, named, has_by, stored_layers(blocks, what))


def _first(
    config: ModelConfig,
    what: str,
    key: str,
    has_by: Callable[[int], bool | None],
    layers: Mapping[int, bool],
) -> Iterator[str]:
    number = config.num_hidden_layers
    for layer, has in sorted(layers.items()):
        if number is not None and layer >= number:
            return
        if has_by(layer) not in (None, has):
            told = f"{what}, and none" if has else f"no {what}, but some"
            yield f"layer {layer:,} has {told} by {key} of config.json"
            return


def _has(names: Set[str], what: str) -> bool:
    part = _PART[what]
    return any(name.startswith(part) or f".{part}" in name for name in names)


def stored_layers(blocks: Mapping[str, Set[str]], what: str) -> Mapping[int, bool]:
    """Number of a layer -> whether it has experts or attention, of the list where some have.

    Args:
        blocks: name of a block -> names below it.
        what: `experts` or `attention`.
    """
    of_list: dict[str, dict[int, bool]] = {}
    for block, names in blocks.items():
        head, _, number = block.rpartition(".")
        if head.rpartition(".")[2] == _LAYERS and number.isdigit():
            of_list.setdefault(head, {})[int(number)] = _has(names, what)
    return next((layers for layers in of_list.values() if any(layers.values())), {})
