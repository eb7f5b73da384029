"""`runtimes`, as text and as JSON."""

from collections.abc import Iterator, Sequence

from ckptfix.report.console import line
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Block, Line, Table, table
from ckptfix.runtimes.catalogue import ArchitectureRow, LearnedArchitecture, ReleaseRow
from ckptfix.text import visible


def release_table(rows: Sequence[ReleaseRow]) -> Table:
    """All known releases."""
    cells = ((r.runtime, r.version, str(r.architectures), r.source) for r in rows)
    return table([("runtime", "release", "architectures", "source"), *cells])


def architecture_lines(architecture: str, rows: Sequence[ArchitectureRow]) -> Iterator[Line]:
    """Releases with the same behaviour are shown together, oldest first."""
    groups: list[list[ArchitectureRow]] = []
    for row in rows:
        if groups and _same(groups[-1][0], row):
            groups[-1].append(row)
        else:
            groups.append([row])
    for group in groups:
        first, last = group[0], group[-1]
        span = first.version if first is last else f"{first.version} to {last.version}"
        yield line((f"{first.runtime} {span}", "bold"))
        if first.class_name is None:
            yield line(f"  does not register {visible(architecture)}")
            continue
        yield line(f"  class {first.class_name} in {first.file}")
        yield from (line(f"  {rule}") for rule in first.rules or ("no name mapper",))
        for packed, members in first.packed_modules.items():
            yield line(f"  packs {packed} = {', '.join(members)}")
        if first.depends_on_config:
            yield line("  more is set at build time from the model config")


def _same(one: ArchitectureRow, other: ArchitectureRow) -> bool:
    def facts(row: ArchitectureRow) -> tuple[object, ...]:
        return (row.runtime, row.class_name, row.file, row.rules, row.packed_modules)

    return facts(one) == facts(other)


def learned_lines(found: Sequence[LearnedArchitecture]) -> Iterator[Block]:
    """Where each release puts the modules of a checkpoint, as learned from its classes."""
    for one in found:
        yield line((f"{one.runtime} {one.version}", "bold"))
        if one.problem:
            yield line(f"  {one.problem}")
            continue
        yield line(f"  {one.class_file} in {one.learned_from}, built with {one.built_with}")
        rows = [("  stored", "place", "looked up as", "kind")]
        rows += [
            (f"  {row.stored}", row.place, _looked_up(row.asked), row.kind) for row in one.rows
        ]
        yield table(rows)


def _looked_up(name: str | None) -> str:
    return "never" if name is None else name or "without a name"


def rows_json(rows: Sequence[ReleaseRow | ArchitectureRow | LearnedArchitecture]) -> Iterator[Line]:
    """Rows as JSON."""
    yield line(indented(list(rows)))
