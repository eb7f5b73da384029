"""`inspect` for people."""

from collections.abc import Iterator

from ckptfix.operations.inspect import CodesSummary, FormatCount, Inspection
from ckptfix.report.console import count, line, size
from ckptfix.report.layout import Block, Table, table
from ckptfix.text import visible


def inspection_lines(inspection: Inspection) -> Iterator[Block]:
    """The text of `inspect`."""
    architecture = ", ".join(inspection.architectures) or "not declared"
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
    uses = ", ".join(f"{name} uses {x}" for name, x in inspection.kv_scales_instead.items())
    scales += [f"no scales are stored: {uses}"] if uses else []
    for label, text in (
        ("checkpoint", inspection.checkpoint),
        ("architecture", architecture),
        ("producer", inspection.producer or "not declared"),
        ("weights", weights),
        ("KV cache", "; ".join([", ".join(schemes) or "unquantized", *scales])),
        ("name map", inspection.name_map),
    ):
        yield line((f"{label:<14}", "bold"), visible(text))
    yield line()
    yield _formats(inspection)
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
    yield table(rows)


def _formats(inspection: Inspection) -> Table:
    rows: list[tuple[str, ...]] = [
        ("stored format", "codes", "group", "modules", "parameters", "size", "declared in")
    ]
    for row in inspection.formats:
        places = ", ".join(f"{place} ({n:,})" for place, n in row.stated_in.items())
        rows.append(
            (
                _label(row),
                _codes(row.codes),
                str(row.group_size or "-"),
                f"{row.modules:,}",
                f"{row.parameters:,}",
                size(row.nbytes),
                places or ("-" if row.stored_format == "unquantized" else "nowhere"),
            )
        )
    return table(rows)


def _label(row: FormatCount) -> str:
    """The name of the format, with its quantizer where that does not follow from it."""
    named = not row.quantizer or row.stored_format.startswith(row.quantizer)
    return row.stored_format if named else f"{row.stored_format} ({row.quantizer})"


def _codes(codes: CodesSummary | None) -> str:
    """`4-bit int, symmetric, with zero points, 8 in I32 along in`."""
    if codes is None:
        return "-"
    symmetric = {True: "symmetric", False: "asymmetric", None: ""}[codes.symmetric]
    parts = (
        f"{codes.bits}-bit {codes.kind}",
        symmetric if codes.kind == "int" else "",
        "with zero points" if codes.zero_points else "",
        "in activation order" if codes.activation_order else "",
        codes.packing,
    )
    return ", ".join(part for part in parts if part)
