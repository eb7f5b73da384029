"""`inspect`: what a checkpoint is, counted."""

import os
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import MetadataFile
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import Reach
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map
from ckptfix.runtimes.naming import Naming


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
    metadata: tuple[MetadataSummary, ...]
    name_map: str


def inspect_checkpoint(checkpoint: Checkpoint, name_map: NameMap) -> Inspection:
    """Count a checkpoint."""
    table = checkpoint.table
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
        _formats(checkpoint, Naming(checkpoint, name_map)),
        roles,
        tuple(_summary(metadata) for metadata in checkpoint.metadata),
        name_map.origin,
    )


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
    roots = {m.file: f"{m.file} {m.place.pointer}".rstrip() for m in files}
    fields = {
        file: (f"{root}/quant_algo", f"{root}/quantized_layers") for file, root in roots.items()
    }
    for declared in declarations.all:
        if declared.overruled is None:
            field = fields[declared.metadata.file][declared.entry is not None]
            stated.setdefault(declared.module, {})[field] = declared.quant_algo
    return stated


def _formats(checkpoint: Checkpoint, naming: Naming) -> tuple[FormatCount, ...]:
    declarations = Declarations(checkpoint, naming)
    declared = _stated(declarations)
    rows: dict[tuple[str, int], list[str]] = {}
    for name, stored in checkpoint.formats.items():
        if checkpoint.modules[name].weight is None and not stored.is_quantized:
            continue
        label = stored.label(declarations.names.get(name))
        fit = stored.fit(label)
        rows.setdefault((label, fit.group_size if fit else 0), []).append(name)
    counts = []
    for (label, group_size), names in sorted(rows.items(), key=lambda row: -len(row[1])):
        stated: dict[str, int] = {}
        for name in names:
            for place, algo in declared.get(name, {}).items():
                if algo.lower() == label.lower():
                    stated[place] = stated.get(place, 0) + 1
        counts.append(
            FormatCount(
                label,
                group_size,
                len(names),
                sum(checkpoint.formats[name].parameters for name in names),
                sum(checkpoint.modules[name].nbytes for name in names),
                stated,
            )
        )
    return tuple(counts)


def inspect(
    checkpoint: str | os.PathLike[str],
    *,
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> Inspection:
    """What a checkpoint is, and where its metadata declares it.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: ask the Hub even where a snapshot is in the local cache.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read.
    """
    loaded = load(os.fspath(checkpoint), Reach(revision, offline, refresh), listener)
    with limited():
        return inspect_checkpoint(loaded, builtin_name_map(loaded))
