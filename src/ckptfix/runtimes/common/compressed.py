"""What vLLM and SGLang read alike in metadata of compressed-tensors."""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.runtimes.common.methods import Scheme

_DEFAULTS: Final[Mapping[str, Any]] = {
    "num_bits": 8, "type": "int", "symmetric": True, "group_size": None, "strategy": None,
    "block_structure": None, "dynamic": False, "actorder": None,
}  # fmt: skip
"""Of quantization arguments (compressed-tensors 0.19.0, quantization/quant_args.py)."""


def arguments(value: object) -> dict[str, Any] | None:
    """Quantization arguments with what they leave out; None where there are none."""
    if not isinstance(value, dict):
        return None
    made = {key: value.get(key, default) for key, default in _DEFAULTS.items()}
    if made["strategy"] is None:
        size = made["group_size"]
        made["strategy"] = "tensor" if size is None else "channel" if size == -1 else "group"
    return made


def same(scheme: Scheme | None) -> object:
    """What two schemes are compared by: which name decided does not count."""
    return None if scheme is None else dict(scheme.fields)
