"""`check` and `rewrite` for people."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ckptfix.names import visible
from ckptfix.report.console import Line, columns, count, line
from ckptfix.report.folding import fold
from ckptfix.report.matrix import matrix_lines, summary_of_target
from ckptfix.rewrite.output import Output
from ckptfix.rewrite.plan import Plan
from ckptfix.rewrite.portable import PortablePlan
from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.verdict import TargetVerdict

MOST_SUBJECTS = 12
"""Groups of names shown under one finding before the rest is only counted."""

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def check_lines(
    name: str,
    findings: Sequence[Finding],
    verdicts: Sequence[TargetVerdict] = (),
    *,
    verbose: bool,
) -> Iterator[Line]:
    """All findings, under their rules, and a summary."""
    for code in sorted({finding.code for finding in findings}):
        rule = RULES[code]
        yield line((f"{rule.severity.value} {code}", _STYLE[rule.severity]), f" {rule.title}")
        of_rule = [finding for finding in findings if finding.code == code]
        yield from _unfolded(of_rule) if verbose else _folded(of_rule)
        yield line()
    yield from matrix_lines(verdicts)
    if verdicts:
        yield line()
    yield summary_line(name, findings, verdicts)


def _folded(findings: Iterable[Finding]) -> Iterator[Line]:
    for group in fold(findings):
        for subject, expected, number in group.subjects[:MOST_SUBJECTS]:
            yield line(
                "  ",
                (subject, "bold"),
                f" -> {expected}" if expected else "",
                f" ({number:,})" if number > 1 else "",
            )
        hidden = group.subjects[MOST_SUBJECTS:]
        if hidden:
            more = sum(number for _, _, number in hidden)
            yield line(f"  and {more:,} more, listed with --verbose")
        yield line(f"    {group.message}")
        for place, number in group.places:
            yield line("    at ", (place, "cyan"), f" ({number:,})" if number > 1 else "")
        yield line(f"    fix: {group.advice}")


def _unfolded(findings: Iterable[Finding]) -> Iterator[Line]:
    for finding in findings:
        expected = f" -> {visible(finding.expected)}" if finding.expected else ""
        yield line("  ", (visible(finding.subject), "bold"), expected)
        yield line(f"    {finding.message}")
        yield line("    at ", (str(finding.place), "cyan"))
        yield line(f"    fix: {finding.advice}")


def summary_line(
    name: str, findings: Sequence[Finding], verdicts: Sequence[TargetVerdict] = ()
) -> Line:
    """`NAME: clean`, or how much is wrong and how many findings a rewrite repairs."""
    failing = sum(verdict.fails for verdict in verdicts)
    if not findings and not failing:
        return line(f"{visible(name)}: ", ("clean", "bold green"))
    severities = Counter(RULES[finding.code].severity for finding in findings)
    parts = [count(severities[s], s.value) for s in Severity if severities[s]]
    if failing:
        parts.append(f"wrong in {failing:,} of {count(len(verdicts), 'release')}")
    repaired = sum(RULES[finding.code].fixed_by_rewrite for finding in findings)
    advice = f"; ckptfix rewrite repairs {repaired:,}" if repaired else ""
    return line(f"{visible(name)}: ", (", ".join(parts), "bold red"), advice)


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
