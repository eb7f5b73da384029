"""Verdicts per release, for people: a matrix, and what is wrong in each release."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ckptfix.report.console import count, line
from ckptfix.report.folding import fold_all, fold_names, mask_numbers
from ckptfix.report.layout import Block, Line, table
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.rules.runtimes import not_loaded, refused_metadata, wrong_module
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleVerdict
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

MOST_NAMES = 8
"""Groups of names shown under one reason."""


class _Row(Struct, frozen=True):
    """Modules that differ only in numbers and have the same result in every release."""

    names: tuple[str, ...]
    stored: str
    cells: tuple[str, ...]
    interesting: bool
    """Whether a module is stored quantized or built in a different format than stored."""


def matrix_lines(verdicts: Sequence[TargetVerdict]) -> Iterator[Block]:
    """Modules x releases, folded to groups, then what is wrong in each release and why."""
    known = [verdict for verdict in verdicts if not verdict.problem]
    rows = _rows(known)
    shown = [row for row in rows if row.interesting]
    if shown:
        runs = list(
            runs_of_releases(
                (verdict.target, tuple(row.cells[i] for row in shown))
                for i, verdict in enumerate(known)
            )
        )
        head = ("module", "stored", *(release_range(releases) for releases, _ in runs))
        body = [
            (_name(row), row.stored, *(column[i] for _, column in runs))
            for i, row in enumerate(shown)
        ]
        yield table([head, *body], ["red" if _differs(row) else "" for row in shown])
        hidden = sum(len(row.names) for row in rows if not row.interesting)
        if hidden:
            yield line(
                f"and {count(hidden, 'more module')}, unquantized in the file and in every release"
            )
        yield line()
    problems = ((verdict.target, tuple(problem_lines(verdict))) for verdict in verdicts)
    for releases, lines in runs_of_releases(problems):
        yield from under(releases, lines)


def under(releases: Sequence[Target], lines: Sequence[Line]) -> Iterator[Line]:
    """The output of `problem_lines` under the names of releases that share it."""
    head, *details = lines
    # One release may have several things wrong, each with its own head.
    for pieces in (head, *details):
        named = not pieces[0][0].startswith(" ")
        yield (*line((release_range(releases), "bold"), ": "), *pieces) if named else pieces


def _differs(row: _Row) -> bool:
    return any(cell.endswith(" !") for cell in row.cells)


def _rows(known: Sequence[TargetVerdict]) -> list[_Row]:
    by_name: dict[str, dict[int, ModuleVerdict]] = {}
    for column, verdict in enumerate(known):
        for module in verdict.modules:
            by_name.setdefault(module.label, {})[column] = module
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    interesting: set[tuple[str, str, tuple[str, ...]]] = set()
    for name, modules in by_name.items():
        cells = tuple(_cell(modules.get(column)) for column in range(len(known)))
        stored = next(iter(modules.values())).stored
        key = mask_numbers(name), stored, cells
        groups.setdefault(key, []).append(name)
        if stored != UNQUANTIZED or any(not module.agrees for module in modules.values()):
            interesting.add(key)
    return [_Row(tuple(n), key[1], key[2], key in interesting) for key, n in groups.items()]


def _cell(module: ModuleVerdict | None) -> str:
    if module is None:
        return "-"
    return module.resolved if module.agrees else f"{module.resolved} !"


def _name(row: _Row) -> str:
    number = f" ({len(row.names):,})" if len(row.names) > 1 else ""
    return f"{visible(fold_names(row.names))}{number}"


def problem_lines(verdict: TargetVerdict) -> Iterator[Line]:
    """What one release builds in a different format than stored, and why.

    Lines that are not indented continue a sentence that starts with the release.
    """
    yield from _problem_lines(verdict)
    for note in verdict.notes:
        yield line(f"  {note}")


def _problem_lines(verdict: TargetVerdict) -> Iterator[Line]:
    if verdict.refused:
        yield line((f"{verdict.problem} ({refused_metadata.code})", "red"))
        return
    if verdict.problem:
        yield line((f"no verdict: {verdict.problem}", "yellow"))
        return
    if verdict.wrong:
        yield from _wrong_modules(verdict)
    elif not verdict.faults:
        yield line(("every module is built in its stored format", "green"))
    for fault in verdict.faults:
        yield line((f"{fault.text} ({not_loaded.code})", "red"))


def _wrong_modules(verdict: TargetVerdict) -> Iterator[Line]:
    wrong = verdict.wrong
    total = count(len(verdict.modules), "module")
    problem = f"{len(wrong):,} of {total} built in a different format than stored"
    yield line((f"{problem} ({wrong_module.code})", "red"))
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for module in wrong:
        key = module.stored, module.resolved, mask_numbers(module.reason)
        reasons.setdefault(key, []).append(module.label)
    for (stored, resolved, _), names in reasons.items():
        first = next(m for m in wrong if m.label == names[0])
        yield line(
            f"  {count(len(names), 'module')} stored as {stored}, built as {resolved}: "
            f"{visible(first.reason)}"
        )
        folded = fold_all(names)
        yield from (line(f"    {visible(name)}") for name in folded[:MOST_NAMES])
        if len(folded) > MOST_NAMES:
            yield line(f"    and {len(folded) - MOST_NAMES:,} more (use --json to list them)")
