"""Planned GEMMs -> the byte spans of files that they read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.stored import FLOAT_DTYPES
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.modules import Module, group_modules
from ckptfix.checkpoint.safetensors import fetch_header, read_starts
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.checkpoint.table_reading import read_tensors
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.verifying.plan import Plan, PlannedGemm, companions
from ckptfix.verifying.stored import SOURCE
from ckptfix.verifying.stream import TensorSpan, Unit


@dataclass
class _Files:
    """Resolved paths of shard files and the offsets of their tensors, each looked up once."""

    source: DirectorySource
    _known: dict[str, tuple[Path, dict[str, int]]] = field(default_factory=dict)

    def at(self, file: str, tensor: str) -> tuple[Path, int]:
        if file not in self._known:
            self._known[file] = self.source.path(file), read_starts(fetch_header(self.source, file))
        path, starts = self._known[file]
        return path, starts[tensor]


class Unquantized(Struct, frozen=True):
    """The unquantized checkpoint that the quantized one was made from."""

    table: TensorTable
    files: _Files
    modules: Mapping[str, Module]


def open_unquantized(directory: str) -> Unquantized:
    """Read the headers of the checkpoint given as `source`.

    Raises:
        CkptfixError: there is none, or its headers cannot be read.
    """
    source = DirectorySource.open(directory)
    table = read_tensors(source)
    return Unquantized(table, _Files(source), group_modules(table.tensors))


def units_of(
    checkpoint: Checkpoint,
    source: DirectorySource,
    plan: Plan,
    unquantized: Unquantized | None = None,
) -> Iterator[Unit]:
    """One unit per GEMM, numbered as in the plan, then one per loose module."""
    files = _Files(source)
    for key, gemm in enumerate(plan.gemms):
        spans = [
            span
            for member in gemm.members
            for span in _spans(checkpoint.table, files, checkpoint.modules[member])
        ]
        if unquantized is not None:
            for member in gemm.members:
                spans += _source_span(checkpoint, gemm, member, unquantized)
        yield Unit(key, tuple(spans))
    for key, name in enumerate(plan.loose, len(plan.gemms)):
        scales = [
            span
            for span in _spans(checkpoint.table, files, checkpoint.modules[name])
            if span.role != "weight"
        ]
        yield Unit(key, tuple(scales))


def _spans(table: TensorTable, files: _Files, module: Module) -> Iterator[TensorSpan]:
    for role in companions(module):
        tensor = module.tensor_names[role]
        row = module.tensors[role]
        path, start = files.at(table.file_of[tensor], tensor)
        yield TensorSpan(module.name, role, path, tensor, start, row.nbytes, row.dtype)


def not_compared(checkpoint: Checkpoint, plan: Plan, unquantized: Unquantized) -> dict[str, str]:
    """Modules without a counterpart in the source -> the reason; from headers alone."""
    reasons = {
        member: _why_not_compared(checkpoint, gemm, member, unquantized)
        for gemm in plan.gemms
        for member in gemm.members
    }
    return {member: why for member, why in reasons.items() if why}


def _why_not_compared(
    checkpoint: Checkpoint, gemm: PlannedGemm, member: str, unquantized: Unquantized
) -> str:
    """Empty if the source has the weight in the same shape and nothing was folded into ours."""
    row = format_named(gemm.quant_algo)
    folds = row is not None and row.smoothing
    if gemm.problem:
        return "no GEMM can be chosen for it"
    if gemm.stack:
        return "experts in one tensor are not compared"
    if folds and "pre_quant_scale" not in checkpoint.modules[member].tensors:
        return "a scale that is not stored was folded into it"
    there = unquantized.modules.get(member)
    weight = there.weight if there is not None else None
    if weight is None:
        return "the source has no weight with this name"
    if weight.dtype not in FLOAT_DTYPES:
        return f"it is quantized in the source too, as {weight.dtype}"
    fits = weight.shape == checkpoint.formats[member].logical_shape
    return "" if fits else "its shape differs in the source"


def _source_span(
    checkpoint: Checkpoint, gemm: PlannedGemm, member: str, unquantized: Unquantized
) -> Iterator[TensorSpan]:
    """The span of the unquantized weight, if it can be compared."""
    if _why_not_compared(checkpoint, gemm, member, unquantized):
        return
    for span in _spans(unquantized.table, unquantized.files, unquantized.modules[member]):
        if span.role == "weight":
            yield replace(span, module=member, role=SOURCE)
