"""What vLLM and SGLang have in common in reading metadata of compressed-tensors."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ckptfix.runtimes.common.methods import Scheme, expression, strings
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.text import visible

FP8_ROWS: Final[Mapping[object, tuple[str, ...]]] = {
    "tensor": ("FP8_TENSOR", "FP8"),
    "channel": ("FP8_CHANNEL", "FP8_PER_CHANNEL_PER_TOKEN"),
    "block": ("FP8_BLOCK", "fp8_pb_real"),
}
INT8_ROWS: Final[Mapping[object, tuple[str, ...]]] = {
    "tensor": ("INT8_TENSOR",),
    "channel": ("INT8_CHANNEL", "W8A16"),
}
"""Strategy of the weights -> stored formats."""
REGEX_MARK: Final = "re:"
_EXPERT_PARTS: Final = ("gate_proj", "up_proj", "down_proj")

_DEFAULTS: Final[Mapping[str, Any]] = {
    "num_bits": 8, "type": "int", "symmetric": True, "group_size": None, "strategy": None,
    "block_structure": None, "dynamic": False, "actorder": None,
}  # fmt: skip
"""Defaults of quantization arguments (compressed-tensors 0.19.0, quantization/quant_args.py)."""
_OTHER_KEYS: Final = frozenset({"scale_dtype", "zp_dtype", "observer", "observer_kwargs"})
_UNKNOWN: Final = "unknown"
_STRATEGIES: Final = frozenset(
    {"tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"}
)
_GROUPED: Final = frozenset({"group", "tensor_group"})


def arguments(value: object) -> dict[str, Any] | None:
    """Quantization arguments with their defaults; None if there are none."""
    if not isinstance(value, dict):
        return None
    made = {key: value.get(key, default) for key, default in _DEFAULTS.items()}
    made[_UNKNOWN] = next((k for k in value if k not in _DEFAULTS and k not in _OTHER_KEYS), None)
    if made["strategy"] is None:
        size = made["group_size"]
        made["strategy"] = "tensor" if size is None else "channel" if size == -1 else "group"
    return made


_SCALARS: Final = ("type", "num_bits", "strategy", "group_size", "dynamic", "actorder")


def refusal(values: Mapping[str, Any]) -> str:
    """Why the library that both runtimes read arguments with refuses them; empty if it does not.

    Source: compressed-tensors 0.17.0 and 0.19.0, quantization/quant_args.py `QuantizationArgs`.

    Args:
        values: as `arguments` returns them.
    """
    for key in _SCALARS:
        if isinstance(values[key], dict | list):
            return f"has a list or an object as {key}"
    if values[_UNKNOWN] is not None:
        return f"has the unknown key {visible(values[_UNKNOWN])}"
    strategy, size, dynamic = values["strategy"], values["group_size"], values["dynamic"]
    block, order = values["block_structure"], values["actorder"]
    is_grouped = strategy in _GROUPED
    has_size = isinstance(size, int) and size > 0
    without_dynamic = strategy in ("channel", "block", "attn_head")
    with_ = f"with strategy {strategy}"
    refused = (
        (values["type"] == "float" and values["num_bits"] not in (4, 8), "floats of other widths"),
        (strategy not in _STRATEGIES, "an unknown strategy"),
        (isinstance(size, int) and size < -1, f"group_size {size}"),
        (is_grouped != has_size, f"group_size {size} {with_}"),
        ((strategy == "block") != (block is not None), f"block_structure {block} {with_}"),
        (
            isinstance(block, list) and not all(type(size) is int for size in block),
            "a block_structure of other things than whole numbers",
        ),
        (order in ("group", "dynamic", True) and not is_grouped, f"actorder {order} {with_}"),
        (strategy == "token" and not dynamic, "static scales for tokens"),
        (bool(dynamic) and without_dynamic, f"dynamic scales {with_}"),
        (dynamic == "local" and strategy != "tensor_group", f"local scales {with_}"),
    )
    return next((f"has {why}" for is_so, why in refused if is_so), "")


def same(scheme: Scheme | None) -> object:
    """The part of a scheme that is compared: not the name that decided."""
    return None if scheme is None else dict(scheme.fields)


def has_columns(weights: Mapping[str, Any]) -> bool:
    """True where both runtimes have a column of scales, `[out, 1]`, and stop at a row.

    Source: vllm 0.33.0 and sglang 0.5.23, layers/quantization/compressed_tensors/schemes; seen of
    linear layers and experts.
    """
    return bool(weights["strategy"] == "channel")


def is_float(values: Mapping[str, Any] | None, bits: int, group: int) -> bool:
    """True for symmetric floats of this width, scaled in groups of this size."""
    if values is None:
        return False
    sized = (values["num_bits"], values["group_size"]) == (bits, group)
    return sized and values["type"] == "float" and bool(values["symmetric"])


def of_experts(name: str, scheme_of: Callable[[str], Scheme | None]) -> list[Scheme | None]:
    """The schemes of the projections of the first expert, which all experts must share.

    Raises:
        LookupDisagreementError: they differ.
    """
    found = [scheme_of(f"{name}.0.{part}") for part in _EXPERT_PARTS]
    if any(same(scheme) != same(found[0]) for scheme in found):
        raise LookupDisagreementError(f"experts of {visible(name)} have different schemes")
    return found


def by_members(names: BoundNames, name: str, target_of: Callable[[str], str | None]) -> str | None:
    """The target of the first member of a packed module, if every member has one."""
    fused = next((key for key in names.packed if name.endswith(key)), None)
    if fused is None:
        return None
    found = [target_of(name.replace(fused, member)) for member in names.packed[fused]]
    return found[0] if found and all(found) else None


def by_class(targets: Iterable[str], name_of_class: str) -> str | None:
    """The first target that is part of the name of a class, or an expression that matches it."""
    for target in targets:
        if target.startswith(REGEX_MARK):
            if expression(target.removeprefix(REGEX_MARK)).match(name_of_class):
                return target
        elif target.lower() in name_of_class.lower():
            return target
    return None


def ignored_names(found: JsonObject) -> list[str]:
    """The names and expressions of `ignore`.

    Raises:
        StopsError: it is null or no list: both runtimes iterate over it.
    """
    if found.get("ignore", ()) is None:
        raise found.stop(" is null, not a list of strings", "ignore")
    return strings(found, "ignore")


def require_no_text(found: JsonObject, *keys: str) -> None:
    """Check that no key has a string, which cannot be read as a config.

    Raises:
        StopsError: one has.
    """
    for key in keys:
        if isinstance(found.get(key), str):
            raise found.stop(" is a string, not an object", key)


def schemes_of(
    targets: Iterable[object], weights: Mapping[str, Any], inputs: object, layout: object
) -> list[tuple[str, Scheme]]:
    """The targets of a group, each with the scheme of the group."""
    fields = {
        "bits": weights["num_bits"],
        "type": weights["type"],
        "strategy": weights["strategy"],
        "act": inputs is not None,
        "weights": weights,
        "inputs": inputs,
        "format": layout,
    }
    return [(str(target), Scheme(fields, str(target))) for target in targets]
