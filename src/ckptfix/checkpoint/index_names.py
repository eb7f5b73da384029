"""The tensors that an index names, where its shard files are missing; dtypes are not known."""

from collections.abc import Mapping
from typing import Final

from ckptfix.checkpoint.formats.stored import format_by_names
from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Header, Tensor
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.checkpoint.tensor_table import TensorTable

_MATRIX: Final = Tensor("", (0, 0), 0)
"""Stands for a tensor of two or more dimensions; those are not known."""
_UNKNOWN: Final = Tensor("", (0,), 0)


def table_of_names(weight_map: Mapping[str, str]) -> TensorTable:
    """A table of what the index names.

    A weight is taken for a matrix if its module, or another one of the same last name, has scales.
    Any other weight may as well be that of a norm or a convolution.

    Args:
        weight_map: tensor -> shard file.
    """
    modules = group_modules(dict.fromkeys(weight_map, _UNKNOWN))
    matrices = {
        _last(name)
        for name, module in modules.items()
        if module.weight is not None and format_by_names(module).is_quantized
    }
    headers: dict[str, Header] = {file: {} for file in sorted(set(weight_map.values()))}
    for name, module in modules.items():
        tensor = _MATRIX if _last(name) in matrices else _UNKNOWN
        for tensor_name in module.tensor_names.values():
            headers[weight_map[tensor_name]][tensor_name] = tensor
    return TensorTable(headers, 0, INDEX_FILE, names_only=True)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
