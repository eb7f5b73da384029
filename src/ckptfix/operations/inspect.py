"""`inspect`: what a checkpoint is, counted."""

import os
from dataclasses import dataclass
from math import prod

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import (
    MetadataFile,
    Statement,
    config_in,
    quantization_root,
)
from ckptfix.checkpoint.formats.stored import Fit
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.jsontext.text import Path, pointer
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import NetworkPolicy
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.registry import known_runtimes, runtime_named


@dataclass(frozen=True)
class CodesSummary:
    """The values of a weight before scaling."""

    bits: int
    kind: str
    """`int` or `float`."""
    symmetric: bool | None
    """Whether codes are symmetric; if zero points are always stored, as the metadata declares."""
    zero_points: bool
    """True if zero points are stored."""
    activation_order: bool | None
    """Whether input columns were quantized in a different order; where an order is stored, as the
    metadata declares."""
    packing: str
    """`8 in I32 along in`; empty where each value has an element of its own."""


@dataclass(frozen=True)
class FormatCount:
    """All modules of one stored format."""

    stored_format: str
    """A quant_algo, `unquantized` or `unrecognized`."""
    group_size: int
    modules: int
    parameters: int
    """Weight values before packing."""
    nbytes: int
    """Weights and their companions."""
    stated_in: dict[str, int]
    """File and pointer that declares the format -> number of modules for which it does."""
    codes: CodesSummary | None = None
    """None where nothing is quantized, or in no known format."""
    quantizer: str = ""
    """Who stores it; empty for ModelOpt, and for formats that models are published in."""


@dataclass(frozen=True)
class MetadataSummary:
    """One metadata file."""

    file: str
    pointer: str
    quant_algo: str | None
    kv_cache_quant_algo: str | None
    entries: int
    exclude_patterns: int
    targets: int


@dataclass(frozen=True)
class Inspection:
    """What `inspect` reports."""

    checkpoint: str
    architectures: tuple[str, ...]
    language_model_architectures: tuple[str, ...]
    producer: str
    shard_files: tuple[str, ...]
    index: str | None
    tensors: int
    nbytes: int
    formats: tuple[FormatCount, ...]
    kv_scales: dict[str, int]
    """Role (`k_scale`, `v_scale`, ...) -> number of modules that carry it."""
    kv_scales_instead: dict[str, float]
    """Runtime -> the scale that it uses for a declared cache without stored scales; empty if none
    is missing."""
    metadata: tuple[MetadataSummary, ...]
    name_map: str


def inspect_checkpoint(checkpoint: Checkpoint, name_map: NameMap) -> Inspection:
    """Count a checkpoint."""
    table, beside = checkpoint.table, _config_alone(checkpoint)
    roles: dict[str, int] = {}
    for module in checkpoint.modules.values():
        for role in KV_ROLES:
            if role in module.tensors:
                roles[role] = roles.get(role, 0) + 1
    return Inspection(
        checkpoint.name,
        checkpoint.config.architectures,
        tuple(a for _, inner in checkpoint.config.nested for a in inner),
        checkpoint.producer,
        table.shard_files,
        table.index_file,
        len(table.tensors),
        table.nbytes,
        _formats(checkpoint, beside, Naming(checkpoint, name_map)),
        roles,
        {} if roles else _kv_scales_instead(checkpoint),
        tuple(map(_summary, (*(beside.metadata if beside else ()), *checkpoint.metadata))),
        name_map.origin,
    )


def _config_alone(checkpoint: Checkpoint) -> Checkpoint | None:
    """The checkpoint without the files of its quantizer, if config.json names another one.

    That decides in a release that reads config.json, which published hybrids count on: an `fp8`
    that they were made from, with ModelOpt's own file next to it.
    """
    config = config_in(checkpoint.documents)
    if config is None or any(each.file == config.file for each in checkpoint.metadata):
        return None
    if quantization_root(config) is None:
        return None
    return replace(checkpoint, documents={config.file: config})


def _kv_scales_instead(checkpoint: Checkpoint) -> dict[str, float]:
    if not any(metadata.kv_cache_quant_algo for metadata in checkpoint.metadata):
        return {}
    runtimes = map(runtime_named, known_runtimes())
    return {runtime.title: runtime.kv_scale_if_absent for runtime in runtimes}


def _summary(metadata: MetadataFile) -> MetadataSummary:
    return MetadataSummary(
        metadata.file,
        metadata.place.pointer or "",
        metadata.quant_algo,
        metadata.kv_cache_quant_algo,
        len(metadata.of_kind("entry")),
        len(metadata.of_kind("exclude")),
        len(metadata.of_kind("target")),
    )


def _stated(declarations: Declarations) -> dict[str, dict[str, str]]:
    """Module -> the map or field that decides for it in each file -> quant_algo there."""
    stated: dict[str, dict[str, str]] = {}
    files = declarations.checkpoint.metadata
    fields = {m.file: (_field(m, m.algo_path), _field(m, m.entries_path)) for m in files}
    for declared in declarations.all:
        if declared.overruled is None:
            field = fields[declared.metadata.file][declared.entry is not None]
            stated.setdefault(declared.module, {})[field] = declared.quant_algo
    return stated


def _field(metadata: MetadataFile, path: Path) -> str:
    root = f"{metadata.file} {metadata.place.pointer}".rstrip()
    return root + pointer(path[len(metadata.root) :])


def _formats(
    checkpoint: Checkpoint, beside: Checkpoint | None, naming: Naming
) -> tuple[FormatCount, ...]:
    declarations = Declarations.of(checkpoint, naming.name_map)
    stated = _stated(declarations)
    if beside is not None:
        other = _stated(Declarations.of(beside, naming.name_map))
        for name, found in other.items():
            fits = {
                place: declarations.labels[name]
                for place, algo in found.items()
                if checkpoint.formats[name].fit(algo) is not None
            }
            stated[name] = fits | stated.get(name, {})
    schemes = _schemes(declarations)
    rows: dict[tuple[str, int, CodesSummary | None], list[str]] = {}
    parameters: dict[str, int] = {}
    for name, stored in checkpoint.formats.items():
        if checkpoint.modules[name].weight is None and not stored.is_quantized:
            continue
        label = declarations.labels[name]
        fit = stored.fit(label)
        decisive = schemes.get(name)
        codes = _codes(fit, checkpoint.modules[name], decisive) if fit else None
        size = fit.group_size if fit else 0
        parameters[name] = prod(fit.logical_shape) if fit else stored.parameters
        if fit and decisive and size == 0 and decisive.group_size == fit.logical_shape[-1]:
            size = decisive.group_size  # a single group, stored as one scale per row
        rows.setdefault((label, size, codes), []).append(name)
    counts = []
    for (label, group_size, codes), names in sorted(rows.items(), key=lambda row: -len(row[1])):
        places: dict[str, int] = {}
        for name in names:
            for place, algo in stated.get(name, {}).items():
                if algo.lower() == label.lower():
                    places[place] = places.get(place, 0) + 1
        counts.append(
            FormatCount(
                label,
                group_size,
                len(names),
                sum(parameters[name] for name in names),
                sum(checkpoint.modules[name].nbytes for name in names),
                places,
                codes,
                checkpoint.formats[names[0]].quantizer,
            )
        )
    return tuple(counts)


def _schemes(declarations: Declarations) -> dict[str, Statement | MetadataFile]:
    """Module -> what decides for it in the first file that declares something."""
    found: dict[str, Statement | MetadataFile] = {}
    for declared in declarations.all:
        if declared.overruled is None:
            found.setdefault(declared.module, declared.entry or declared.metadata)
    return found


def _codes(fit: Fit, module: Module, decisive: Statement | MetadataFile | None) -> CodesSummary:
    row, codes = fit.format, fit.format.codes
    zeros = row.zeros is not None and row.zeros.role in module.tensors
    is_open = row.zeros is not None and row.zeros.always and zeros
    symmetric = decisive.symmetric if decisive and is_open else None if is_open else not zeros
    order = bool(row.order) and row.order in module.tensors
    reordered = decisive.activation_order if decisive and order else None if order else False
    return CodesSummary(codes.bits, codes.kind, symmetric, zeros, reordered, codes.packing)


def inspect(
    checkpoint: str | os.PathLike[str],
    *,
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> Inspection:
    """What a checkpoint contains, and where its metadata declares it.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read.
    """
    loaded = load(os.fspath(checkpoint), NetworkPolicy(revision, offline, refresh), listener)
    with limited():
        return inspect_checkpoint(loaded, builtin_name_map(loaded))
