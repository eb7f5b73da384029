"""A quantization config that records every lookup, whatever it answers."""

from typing import Any

Call = tuple[Any, str, str]
"""Layer, name that it looked up, class of the answer (empty: none)."""


def listen(quant: Any, calls: list[Call]) -> None:
    """Record every lookup in the object's class in `calls`."""
    config_class = type(quant)
    real = getattr(config_class, "_real_get_quant_method", config_class.get_quant_method)

    def get_quant_method(self: Any, layer: Any, prefix: str = "", *args: Any, **more: Any) -> Any:
        answer = real(self, layer, prefix, *args, **more)
        calls.append((layer, prefix, "" if answer is None else type(answer).__name__))
        return answer

    config_class._real_get_quant_method = real
    config_class.get_quant_method = get_quant_method


def by_layer(calls: list[Call]) -> dict[int, list[tuple[str, str]]]:
    """Id of a layer -> its lookups."""
    out: dict[int, list[tuple[str, str]]] = {}
    for layer, name, answer in calls:
        out.setdefault(id(layer), []).append((name, answer))
    return out
