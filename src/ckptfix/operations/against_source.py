"""A quantized checkpoint compared with its source, by names, shapes and dtypes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.checkpoint.tensor_table import TensorTable

_BUFFERS: Final = (".rotary_emb.inv_freq",)
"""Endings of names that old releases of transformers stored and that no class loads."""
_JOINED_PARTS: Final = {
    "gate_up_proj": ("gate_proj", "up_proj"),
    "down_proj": ("down_proj",),
    "w13_weight": ("w1", "w3"),
    "w2_weight": ("w2",),
}
"""Experts stored as one tensor (transformers, `*ForCausalLM` of Llama 4, GPT-OSS and Qwen3-VL) ->
the modules of each expert in an export that stores them one by one."""


@dataclass(frozen=True)
class QuantizedAs:
    """All modules of the source that are stored in one format now."""

    stored_format: str
    modules: int
    parameters: int
    source_bytes: int
    """Of their weights in the source."""
    nbytes: int
    """Of their codes, scales and other companions."""

    @property
    def bits(self) -> float:
        """Bits per weight value, companions included."""
        return 8 * self.nbytes / self.parameters if self.parameters else 0.0


@dataclass(frozen=True)
class Reshaped:
    """A tensor of the source that does not match what is stored under its name."""

    name: str
    source: tuple[int, ...]
    """Its shape in the source."""
    stored: tuple[int, ...]
    """The shape now, before packing; empty where the stored tensors fit no format."""
    problem: str = ""
    """Why they fit none."""


@dataclass(frozen=True)
class SourceComparison:
    """Every tensor of the source, by its outcome."""

    source: str
    tensors: int
    prefix: str
    """What the checkpoint adds before every name of the source; after a minus, what it removes."""
    kept: int
    """Tensors of the same shape and dtype."""
    converted: Mapping[str, int]
    """`F32 to BF16` -> number of unquantized tensors whose dtype changed."""
    quantized: tuple[QuantizedAs, ...]
    left_out: tuple[str, ...]
    """Tensors that nothing loads: tied heads and buffers."""
    missing: tuple[str, ...]
    reshaped: tuple[Reshaped, ...]
    added: tuple[str, ...]
    """Tensors of modules that the source lacks."""

    @property
    def complete(self) -> bool:
        """True when every tensor of the source is present, with a matching shape."""
        return not self.missing and not self.reshaped


def compare_tensors(
    checkpoint: Checkpoint, labels: Mapping[str, str], source: TensorTable, name: str
) -> SourceComparison:
    """The outcome for every tensor of the source; no weight is read.

    Args:
        checkpoint: the quantized one.
        labels: module -> the name of its stored format.
        source: the tensors that it was made from.
        name: of the source, for reports.
    """
    prefix = _prefix(checkpoint.table.tensors, source.tensors)
    work = _Comparing(checkpoint, labels)
    for original, tensor in source.tensors.items():
        work.look_at(_renamed(original, prefix), original, tensor)
    added = [n for n in checkpoint.table.tensors if n not in work.seen and not work.belongs(n)]
    rows = sorted(work.rows.items(), key=lambda row: (-row[1][0], row[0]))
    return SourceComparison(
        name,
        len(source.tensors),
        prefix,
        work.kept,
        dict(work.converted),
        tuple(QuantizedAs(label, *numbers) for label, numbers in rows),
        tuple(work.left_out),
        tuple(work.missing),
        tuple(work.reshaped),
        tuple(added),
    )


class _Comparing:
    """The outcome for the tensors seen so far."""

    def __init__(self, checkpoint: Checkpoint, labels: Mapping[str, str]) -> None:
        self.checkpoint = checkpoint
        self.labels = labels
        self.kept = 0
        self.converted = Counter[str]()
        self.rows: dict[str, list[int]] = {}
        self.left_out: list[str] = []
        self.missing: list[str] = []
        self.reshaped: list[Reshaped] = []
        self.seen: set[str] = set()
        self._modules: set[str] = set()

    def look_at(self, name: str, original: str, tensor: Tensor) -> None:
        """One tensor of the source, under the name that it has in the checkpoint."""
        module, _, role = name.rpartition(".")
        formats = self.checkpoint.formats
        if role == "weight" and module in formats and formats[module].is_quantized:
            self._quantized([module], original, tensor)
            return
        stored = self.checkpoint.table.tensors.get(name)
        if stored is None:
            parts = list(self._parts(module, role, tensor))
            if parts:
                self._quantized(parts, original, tensor)
            elif self._is_left_out(name):
                self.left_out.append(original)
            else:
                self.missing.append(original)
            return
        self.seen.add(name)
        self._modules.add(module)
        if stored.shape != tensor.shape:
            self.reshaped.append(Reshaped(original, tensor.shape, stored.shape))
        elif stored.dtype == tensor.dtype:
            self.kept += 1
        else:
            self.converted[f"{tensor.dtype} to {stored.dtype}"] += 1

    def _quantized(self, modules: list[str], original: str, tensor: Tensor) -> None:
        self._modules.update(modules)
        shapes = [self.checkpoint.formats[module].logical_shape for module in modules]
        problem = next((p for m in modules if (p := self.checkpoint.formats[m].problem)), "")
        alone = len(modules) == 1
        fits = shapes[0] == tensor.shape if alone else _sum(shapes) == prod(tensor.shape)
        if problem or not fits:
            self.reshaped.append(Reshaped(original, tensor.shape, shapes[0], problem))
            return
        for module, shape in zip(modules, shapes, strict=True):
            row = self.rows.setdefault(self.labels[module], [0, 0, 0, 0])
            values = prod(shape)
            share = tensor.nbytes * values // max(1, prod(tensor.shape))
            for i, n in enumerate((1, values, share, self.checkpoint.modules[module].nbytes)):
                row[i] += n

    def _parts(self, module: str, role: str, tensor: Tensor) -> Iterator[str]:
        """The modules of all experts that one tensor of the source holds."""
        modules = self.checkpoint.modules
        for expert in range(tensor.shape[0] if len(tensor.shape) == 3 else 0):
            for part in _JOINED_PARTS.get(role, ()):
                name = f"{module}.{expert}.{part}"
                if name not in modules:
                    return
                yield name

    def _is_left_out(self, name: str) -> bool:
        is_head = name.rpartition(".")[0].rpartition(".")[2] == "lm_head"
        return name.endswith(_BUFFERS) or (
            is_head and self.checkpoint.config.tied_embeddings is True
        )

    def belongs(self, name: str) -> bool:
        """True for a companion of a module that the source has."""
        return name.rpartition(".")[0] in self._modules


def _sum(shapes: list[tuple[int, ...]]) -> int:
    return sum(map(prod, shapes))


def _renamed(name: str, prefix: str) -> str:
    if prefix.startswith("-"):
        return name.removeprefix(prefix[1:])
    return prefix + name


def _prefix(stored: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> str:
    """The prefix that an export added to every name, or removed; empty if names agree."""
    missing = next((name for name in source if name not in stored), None)
    if missing is None:
        return ""
    longer = (n[: -len(missing)] for n in stored if n.endswith(f".{missing}"))
    parts = missing.split(".")
    shorter = (f"-{'.'.join(parts[:i])}." for i in range(1, len(parts)))
    tried = ["", *longer, *shorter]
    return max(tried, key=lambda prefix: sum(_renamed(n, prefix) in stored for n in source))
