"""`rewrite` for people."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ckptfix.report.console import Line, columns, count, line, plain
from ckptfix.report.matrix import summary_of_target
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.rewrite.output import Output
from ckptfix.rewrite.plan import FileChange, Plan
from ckptfix.rewrite.portable import PortablePlan
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.text import visible


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
    pairs = zip(portable.before, portable.after, strict=True)
    states = [(new, (state_of(old), "before,", state_of(new), "after")) for old, new in pairs]
    rows = [(f"  {release_range(alike)}", *state) for alike, state in runs_of_releases(states)]
    yield from (line(row) for row in columns(rows))
    remaining = [(verdict, _remains(verdict)) for verdict in portable.after if verdict.fails]
    if remaining:
        yield line("no name in the metadata was found that repairs these")
        for alike, remains in runs_of_releases(remaining):
            yield line((release_range(alike), "bold"), ": ", (remains[0], "red"))
            yield from (line(text) for text in remains[1:])


def state_of(verdict: TargetVerdict) -> str:
    """How many modules a release builds otherwise than stored, or why it says nothing."""
    if verdict.problem:
        return "stops" if verdict.refused else "no verdict"
    return f"{len(verdict.wrong):,}"


def _remains(verdict: TargetVerdict) -> tuple[str, ...]:
    head, *details = map(plain, summary_of_target(verdict))
    return (head.partition(": ")[2], *details)


def plan_lines(plan: Plan) -> Iterator[Line]:
    """Files, and how many names each rule changed."""
    rows = [(f"  {file.file}", ", ".join(done_to(file))) for file in plan.files]
    yield from (line(row) for row in columns(rows))
    used = [(f"  {rule}", count(n, "name")) for rule, n in plan.names_per_rule if n]
    if used:
        yield line(f"by the rules of {plan.name_map.origin}")
        yield from (line(row) for row in columns(used))


def done_to(file: FileChange) -> Iterator[str]:
    """What changes in a file, by kind."""
    if file.renamed:
        yield f"{count(file.renamed, 'name')} changed"
    if file.removed:
        yield f"{count(file.removed, 'name')} removed"
    if file.added:
        yield f"{count(file.added, 'alias', 'aliases')} added"
    if file.copied:
        yield f"{count(file.copied, 'name')} copied from hf_quant_config.json"
    if file.rebuilt:
        yield f"{count(file.rebuilt, 'value')} set from the tensors"


def verdict_lines(name: str, plan: Plan) -> Iterator[Line]:
    """The check before and after."""
    before, after = len(plan.findings_before), len(plan.findings_after)
    yield line(f"check: {count(before, 'finding')} before, {count(after, 'finding')} after")
    if plan.findings_after:
        for code, number in sorted(Counter(f.code for f in plan.findings_after).items()):
            yield line(f"  {number:,} {code} {RULES[code].title}")
        yield line(f"details: ckptfix check {visible(name)}")


def more_lines(name: str) -> Iterator[Line]:
    """The other repair, where it would do something."""
    yield line(f"the tensors say more: ckptfix rewrite {visible(name)} --from-tensors")


def unchanged_lines(name: str, plan: Plan, *, for_releases: bool) -> Iterator[Line]:
    """Nothing to rewrite."""
    why = ""
    if not plan.name_map.mapper.rules and not for_releases:
        why = "; no name map is built in for its architecture, give one with --map or --mapper"
    yield line(f"{visible(name)}: no name to change{why}")


def output_lines(output: Output) -> Iterator[Line]:
    """What `--output` made, and how."""
    made = [f"{count(number, 'weight file')} by {kind}" for kind, number in output.linked]
    if output.renamed:
        made.append(f"{count(output.renamed, 'weight file')} copied with new names")
    made.append(f"{count(output.copied, 'file')} copied")
    yield line(f"made {output.directory}: {', '.join(made)}")
    if output.left_out:
        yield line(
            f"without {count(len(output.left_out), 'file')}; --with-weights fetches them too"
        )
