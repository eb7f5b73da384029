"""`compare` for people."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.operations.against_source import Reshaped, SourceComparison
from ckptfix.operations.compare import Comparison
from ckptfix.operations.drafter import DraftPair
from ckptfix.report.console import count, line, size
from ckptfix.report.folding import fold_all
from ckptfix.report.layout import Block, table
from ckptfix.text import visible

MOST_NAMES: Final = 12
"""Maximum number of groups of names shown per kind."""
_AGREES: Final = {True: "yes", False: "no", None: "not stated"}


def comparison_lines(comparison: Comparison) -> Iterator[Block]:
    """What became of the source, whether the drafter fits, and one sentence on each."""
    if comparison.source is not None:
        yield from _source_lines(comparison.source)
    if comparison.draft is not None:
        yield from _draft_lines(comparison.draft)
    yield from _summary(comparison)


def _source_lines(source: SourceComparison) -> Iterator[Block]:
    yield line((f"{count(source.tensors, 'tensor')} of {visible(source.source)}", "bold"))
    quantized = sum(row.modules for row in source.quantized)
    rows = [("  unchanged", f"{source.kept:,}")]
    rows += [(f"  {what}", f"{number:,}") for what, number in source.converted.items()]
    rows += [("  quantized", f"{quantized:,}")] if quantized else []
    rows += [("  not needed", f"{len(source.left_out):,}")] if source.left_out else []
    rows += [("  missing", f"{len(source.missing):,}")] if source.missing else []
    rows += [("  different shape", f"{len(source.reshaped):,}")] if source.reshaped else []
    yield table(rows, head=False)
    if source.prefix:
        does = "lack" if source.prefix.startswith("-") else "start with"
        yield line(f"  names in the checkpoint {does} {visible(source.prefix.lstrip('-'))}")
    yield line()
    if source.quantized:
        head = ("stored format", "modules", "parameters", "in the source", "now", "bits per value")
        body = [
            (
                row.stored_format,
                f"{row.modules:,}",
                f"{row.parameters:,}",
                size(row.source_bytes),
                size(row.nbytes),
                f"{row.bits:.2f}",
            )
            for row in source.quantized
        ]
        yield table([head, *body])
        yield line()
    yield from _names("missing", source.missing, "red")
    yield from _reshaped(source.reshaped)
    yield from _names("not in the source", source.added, "")


def _names(title: str, names: Sequence[str], style: str) -> Iterator[Block]:
    if not names:
        return
    yield line((f"{title} ({len(names):,})", f"bold {style}".strip()))
    folded = fold_all(names)
    yield from (line(f"  {visible(name)}") for name in folded[:MOST_NAMES])
    if len(folded) > MOST_NAMES:
        yield line(f"  and {len(folded) - MOST_NAMES:,} more (use --json to list them)")
    yield line()


def _reshaped(found: Sequence[Reshaped]) -> Iterator[Block]:
    if not found:
        return
    yield line((f"different shape ({len(found):,})", "bold red"))
    for one in found[:MOST_NAMES]:
        stored = one.problem or f"stored as {list(one.stored)}"
        yield line(f"  {visible(one.name)}: {list(one.source)} in the source, {stored}")
    if len(found) > MOST_NAMES:
        yield line(f"  and {len(found) - MOST_NAMES:,} more (use --json to list them)")
    yield line()


def _draft_lines(pair: DraftPair) -> Iterator[Block]:
    yield line((f"drafter {visible(pair.drafter)} ({pair.kind})", "bold"))
    rows = [("", "needed", "found", "agrees")]
    rows += [
        (f"  {check.what}", check.needed, visible(check.found), _AGREES[check.agrees])
        for check in pair.checks
    ]
    yield table(rows, ["red" if check.agrees is False else "" for check in pair.checks])
    for check in pair.checks:
        if check.why:
            yield line((f"  {check.what}: {visible(check.why)}", "red"))
    yield line()


def _summary(comparison: Comparison) -> Iterator[Block]:
    name, source, draft = visible(comparison.checkpoint), comparison.source, comparison.draft
    if source is not None and source.complete:
        yield line(f"{name}: ", ("every tensor of the source is present", "bold green"))
    elif source is not None:
        lost = f"{count(len(source.missing), 'tensor')} missing"
        parts = [lost] if source.missing else []
        parts += [f"{len(source.reshaped):,} with a different shape"] if source.reshaped else []
        yield line(f"{name}: ", (", ".join(parts), "bold red"))
    if draft is not None:
        fate = ("the drafter fits", "bold green") if draft.fits else ("", "bold red")
        wrong = [check.what for check in draft.checks if check.agrees is False]
        yield line(
            f"{name}: ", fate if draft.fits else (f"does not fit: {', '.join(wrong)}", fate[1])
        )
