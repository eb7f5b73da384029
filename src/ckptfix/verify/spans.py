"""Planned GEMMs -> the spans of files that they need."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.stored import FLOAT_DTYPES
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.modules import Module, group_modules
from ckptfix.checkpoint.safetensors import fetch_header, read_starts
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.checkpoint.tensor_table import TensorTable, read_tensors
from ckptfix.verify.plan import Plan, PlannedGemm, companions
from ckptfix.verify.stored import SOURCE
from ckptfix.verify.stream import TensorSpan, Unit


@dataclass
class _Files:
    """Real paths of shard files and where their tensors begin, each looked up once."""

    source: DirectorySource
    _known: dict[str, tuple[Path, dict[str, int]]] = field(default_factory=dict)

    def at(self, file: str, tensor: str) -> tuple[Path, int]:
        if file not in self._known:
            self._known[file] = self.source.path(file), read_starts(fetch_header(self.source, file))
        path, starts = self._known[file]
        return path, starts[tensor]


@dataclass(frozen=True)
class Unquantized:
    """The checkpoint that the quantized one was made from."""

    table: TensorTable
    files: _Files
    modules: Mapping[str, Module]


def open_unquantized(directory: str) -> Unquantized:
    """Read the headers of the checkpoint that --source names.

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
    """A unit for every GEMM, numbered as in the plan, then one for every loose module."""
    files = _Files(source)
    for key, gemm in enumerate(plan.gemms):
        spans = [
            span
            for member in gemm.members
            for span in _spans(checkpoint.table, files, checkpoint.modules[member])
        ]
        if unquantized is not None and not gemm.stack and not gemm.problem:
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
        yield TensorSpan(module.name, role, path, start, row.nbytes, row.dtype, row.shape)


def _source_span(
    checkpoint: Checkpoint, gemm: PlannedGemm, member: str, unquantized: Unquantized
) -> Iterator[TensorSpan]:
    """The unquantized weight, unless the exporter folded a scale into the stored one."""
    module, stored = unquantized.modules.get(member), checkpoint.modules[member]
    if module is None or module.weight is None or module.weight.dtype not in FLOAT_DTYPES:
        return
    row = format_named(gemm.quant_algo)
    if row is not None and row.smoothing and "pre_quant_scale" not in stored.tensors:
        return
    if module.weight.shape == checkpoint.formats[member].logical_shape:
        for span in _spans(unquantized.table, unquantized.files, module):
            if span.role == "weight":
                yield TensorSpan(
                    member, SOURCE, span.path, span.start, span.nbytes, span.dtype, span.shape
                )
