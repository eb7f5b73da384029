"""All tensors of a checkpoint, in one table; `table_reading.py` makes it."""

from collections.abc import Hashable, Mapping
from functools import cached_property
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.formats.stored import StoredFormat, format_by_names, stored_format
from ckptfix.checkpoint.modules import Module, group_modules
from ckptfix.checkpoint.safetensors import (
    Header,
    Tensor,
)


class TensorTable(Struct, frozen=True, dict=True):
    """All tensors of a checkpoint."""

    headers: Mapping[str, Header]
    """Shard file -> its tensors; for a tensor stored twice, only the one that the index names."""
    nbytes: int
    """Bytes of all tensors."""
    index_file: str | None = None
    missing: tuple[tuple[str, str], ...] = ()
    """(tensor, shard file) that the index names and the header of that file does not list."""
    unindexed: tuple[tuple[str, str], ...] = ()
    """(tensor, shard file) that a header lists and the index does not, or places elsewhere."""
    unlisted_files: tuple[str, ...] = ()
    """Safetensors files that the index does not name."""
    total_size: int | None = None
    """`metadata.total_size` of the index, in bytes."""
    names_only: bool = False
    """The shard files are missing; only the names of the tensors are known (`index_names.py`)."""

    @property
    def lacks_index(self) -> bool:
        """True when there are several shard files and no index."""
        return self.index_file is None and len(self.shard_files) > 1

    @property
    def shard_files(self) -> tuple[str, ...]:
        """Names of the shard files, sorted."""
        return tuple(self.headers)

    @cached_property
    def tensors(self) -> Header:
        """Every tensor, by file, in the order of the headers."""
        headers = tuple(self.headers.values())
        if len(headers) == 1:
            return headers[0]
        return dict(chain.from_iterable(header.items() for header in headers))

    @cached_property
    def modules(self) -> dict[str, Module]:
        """Checkpoint name -> module."""
        return group_modules(self.tensors)

    @cached_property
    def dtypes(self) -> Mapping[str, str]:
        """Tensor name -> dtype, as safetensors writes it."""
        return {name: tensor.dtype for name, tensor in self.tensors.items()}

    @cached_property
    def formats(self) -> dict[str, StoredFormat]:
        """Checkpoint name -> stored format; identical modules share one object."""
        read = format_by_names if self.names_only else stored_format
        known: dict[tuple[int, bool], StoredFormat] = {}
        formats: dict[str, StoredFormat] = {}
        for name, module in self.modules.items():
            held = module.tensors
            scale = held.get("input_scale")
            flat = scale is not None and len(scale.shape) > 1 and EXPERTS in name
            kind = id(held), flat  # one object for all modules that hold the same
            stored = known.get(kind)
            if stored is None:
                if flat and scale is not None:
                    held = {**held, "input_scale": _flat(scale)}
                stored = known[kind] = read(replace(module, tensors=held))
            formats[name] = stored
        return formats

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """A value computed once from the names of all modules, under the caller's key.

        It is shared by all metadata of the same tensors, and must not refer to the table.
        """
        return {}

    @cached_property
    def file_of(self) -> Mapping[str, str]:
        """Tensor name -> shard file whose header lists it."""
        return {name: file for file, header in self.headers.items() for name in header}


def _flat(scale: Tensor) -> Tensor:
    """A scalar if there is one element: in a bank, both runtimes assign it to one element.

    Linears take `()` and `(1,)` only (vllm 0.33.0 and sglang 0.5.23, judged by their loaders).
    """
    return Tensor(scale.dtype, (), scale.nbytes) if set(scale.shape) == {1} else scale
