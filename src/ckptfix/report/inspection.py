"""What a checkpoint is: the numbers behind `inspect`, its text and its JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ckptfix import __version__
from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import MetadataFile
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.report.console import Line, columns, count, line, size
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.text import visible

SCHEMA = 1
"""Of the JSON; changes when a field changes its meaning or goes away."""


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


def inspection_json(inspection: Inspection) -> str:
    """The report of `inspect --json`."""
    made = {"schema": SCHEMA, "ckptfix": __version__, **asdict(inspection)}
    return json.dumps(made, indent=2) + "\n"


def inspection_lines(inspection: Inspection) -> Iterator[Line]:
    """The text of `inspect`."""
    architecture = ", ".join(inspection.architectures) or "not said"
    if inspection.language_model_architectures:
        architecture += f" (language model: {', '.join(inspection.language_model_architectures)})"
    index = inspection.index or "no index"
    weights = (
        f"{count(len(inspection.shard_files), 'shard file')}, {index}, "
        f"{count(inspection.tensors, 'tensor')}, {size(inspection.nbytes)}"
    )
    schemes = [
        f"{m.kv_cache_quant_algo} ({m.file})" for m in inspection.metadata if m.kv_cache_quant_algo
    ]
    scales = [f"{role} on {count(n, 'module')}" for role, n in inspection.kv_scales.items()]
    for label, text in (
        ("checkpoint", inspection.checkpoint),
        ("architecture", architecture),
        ("producer", inspection.producer or "not said"),
        ("weights", weights),
        ("KV cache", "; ".join([", ".join(schemes) or "unquantized", *scales])),
        ("name map", inspection.name_map),
    ):
        yield line((f"{label:<14}", "bold"), visible(text))
    yield line()
    yield from _format_lines(inspection)
    yield line()
    rows: list[tuple[str, ...]] = [
        ("metadata", "quant_algo", "entries", "exclude patterns", "targets")
    ]
    rows += [
        (
            f"{m.file} {m.pointer}".rstrip(),
            visible(m.quant_algo or "null"),
            str(m.entries),
            str(m.exclude_patterns),
            str(m.targets),
        )
        for m in inspection.metadata
    ]
    yield from _table(rows)


def _format_lines(inspection: Inspection) -> Iterator[Line]:
    rows: list[tuple[str, ...]] = [
        ("stored format", "group", "modules", "parameters", "size", "stated in")
    ]
    for row in inspection.formats:
        places = ", ".join(f"{place} ({n:,})" for place, n in row.stated_in.items())
        rows.append(
            (
                row.stored_format,
                str(row.group_size or "-"),
                f"{row.modules:,}",
                f"{row.parameters:,}",
                size(row.nbytes),
                places or ("-" if row.stored_format == "unquantized" else "nowhere"),
            )
        )
    yield from _table(rows)


def _table(rows: list[tuple[str, ...]]) -> Iterator[Line]:
    header, *body = columns(rows)
    yield line((header, "bold"))
    yield from (line(row) for row in body)
