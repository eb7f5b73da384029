"""`rewrite` for people."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ckptfix.names import visible
from ckptfix.report.console import Line, columns, count, line
from ckptfix.report.matrix import summary_of_target
from ckptfix.rewrite.output import Output
from ckptfix.rewrite.plan import Plan
from ckptfix.rewrite.portable import PortablePlan
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.verdict import TargetVerdict


def refusal_lines(name: str, plan: Plan, harmed: Sequence[TargetVerdict] = ()) -> Iterator[Line]:
    """Why nothing was written."""
    yield line(("refused", "bold red"), f": {visible(name)} was not rewritten, nothing was written")
    for refusal in plan.refusals:
        yield line("  ", (visible(refusal.name), "bold"), f" {refusal.reason}")
        yield line("    at ", (str(refusal.place), "cyan"))
    for verdict in harmed:
        yield line(f"  after it, {verdict.target} would build modules wrongly that are right now")
        yield from summary_of_target(verdict)


def portable_lines(portable: PortablePlan | None) -> Iterator[Line]:
    """What each release builds otherwise than stored, before and after, and what remains."""
    if portable is None:
        return
    yield line("modules built otherwise than stored")
    rows = [
        (f"  {old.target}", _state(old), "before,", _state(new), "after")
        for old, new in zip(portable.before, portable.after, strict=True)
    ]
    yield from (line(row) for row in columns(rows))
    remaining = [verdict for verdict in portable.after if verdict.wrong]
    if remaining:
        yield line("no name in the metadata was found that repairs these")
        for verdict in remaining:
            yield from summary_of_target(verdict)


def _state(verdict: TargetVerdict) -> str:
    if verdict.problem:
        return "stops" if verdict.refused else "no verdict"
    return f"{len(verdict.wrong):,}"


def plan_lines(plan: Plan) -> Iterator[Line]:
    """Files, and how many names each rule changed."""
    rows = []
    for file in plan.files:
        removed = f", {count(file.removed, 'name')} removed" if file.removed else ""
        added = f", {count(file.added, 'alias', 'aliases')} added" if file.added else ""
        rows.append((f"  {file.file}", f"{count(file.renamed, 'name')} changed{removed}{added}"))
    yield from (line(row) for row in columns(rows))
    used = [(f"  {rule}", count(n, "name")) for rule, n in plan.names_per_rule if n]
    if used:
        yield line(f"by the rules of {plan.name_map.origin}")
        yield from (line(row) for row in columns(used))


def verdict_lines(name: str, plan: Plan) -> Iterator[Line]:
    """The check before and after."""
    before, after = len(plan.findings_before), len(plan.findings_after)
    yield line(f"check: {count(before, 'finding')} before, {count(after, 'finding')} after")
    if plan.findings_after:
        for code, number in sorted(Counter(f.code for f in plan.findings_after).items()):
            yield line(f"  {number:,} {code} {RULES[code].title}")
        yield line(f"details: ckptfix check {visible(name)}")


def unchanged_lines(name: str, plan: Plan, *, for_releases: bool) -> Iterator[Line]:
    """Nothing to rewrite."""
    why = ""
    if not plan.name_map.mapper.rules and not for_releases:
        why = "; no name map is built in for its architecture, give one with --map or --mapper"
    yield line(f"{visible(name)}: no name to change{why}")


def output_lines(output: Output) -> Iterator[Line]:
    """What `--output` made, and how."""
    linked = ", ".join(
        f"{count(number, 'weight file')} by {kind}" for kind, number in output.linked
    )
    yield line(f"made {output.directory}: {linked}, {count(output.copied, 'file')} copied")
