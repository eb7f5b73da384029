"""The title and the body of a pull request: what was wrong, for whom, before and after."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from ckptfix import __version__
from ckptfix.report.commands import suggested
from ckptfix.report.folding import fold
from ckptfix.report.releases import release_range
from ckptfix.report.rewrite_text import answer_states, done_to, findings_text
from ckptfix.rewriting.plan import Plan
from ckptfix.rewriting.proved import ProvedPlan
from ckptfix.rules.finding import Finding, numbers_by_rule
from ckptfix.text import printable, visible

MOST_EXAMPLES: Final = 5
_PROJECT: Final = "ckptfix"


class ProposedChange(Struct, frozen=True):
    """A plan for a repository."""

    planned: ProvedPlan
    repository: str
    commit: str
    """The commit that was read."""


def title_of(change: ProposedChange) -> str:
    """One line: what the commit does, in which files."""
    files = change.planned.plan.files
    totals = Counter[str]()
    for file in files:
        totals["rename"] += file.renamed
        totals["remove"] += file.removed
        totals["add"] += file.added
        totals["copy"] += file.copied
        totals["set from the tensors"] += file.rebuilt
    parts = [f"{what} {number:,}" for what, number in totals.items() if number]
    named = " and ".join(file.file for file in files)
    return f"Correct module names in {named}: {', '.join(parts)}"


def body_of(change: ProposedChange) -> str:
    """Markdown; every name of the checkpoint is code, and nothing in it acts on a CI runner."""
    return printable("\n".join(_body_lines(change)) + "\n")


def _body_lines(change: ProposedChange) -> Iterator[str]:
    plan = change.planned.plan
    files = " and ".join(_code(file.file) for file in plan.files)
    yield (
        f"This changes only {files}; no weights and no other file. Runtimes look up modules by "
        "the names in these files. If a name does not match, they build the module in a "
        "different format than it is stored."
    )
    yield from _runtimes(change.planned)
    yield from _findings(plan)
    yield "\n## What changes\n"
    yield from _table(
        ("file", "change"), ((_code(file.file), ", ".join(done_to(file))) for file in plan.files)
    )
    used = [(_code(str(rule)), f"{number:,}") for rule, number in plan.names_per_rule if number]
    if used:
        yield ""
        yield from _table(("rule", "names"), used)
    yield (
        f"\nMade by {_PROJECT} {__version__} from commit {change.commit[:12]} and checked "
        f"against the headers of the tensors ({findings_text(plan)}). "
        f"To check this yourself, run "
        f"{_code(suggested('check', change.repository))} before and after."
    )


def _runtimes(planned: ProvedPlan) -> Iterator[str]:
    if planned.portable is None:
        return
    yield "\n## Affected runtimes\n"
    yield "Whether a release loads the checkpoint as it is stored (names and formats only):\n"
    rows = ((release_range(releases), *state) for releases, state in answer_states(planned))
    yield from _table(("release", "before", "after"), rows)


def _findings(plan: Plan) -> Iterator[str]:
    if not plan.findings_before:
        return
    yield "\n## What is wrong\n"
    before, after = numbers_by_rule(plan.findings_before), numbers_by_rule(plan.findings_after)
    rows = (
        (rule.code, rule.title, f"{before[rule]:,}", f"{after[rule]:,}")
        for rule in sorted(before | after, key=lambda rule: rule.code)
    )
    yield from _table(("rule", "what", "before", "after"), rows)
    yield "\nFor example:\n"
    for rule in sorted(before, key=lambda rule: rule.code):
        yield from _examples([f for f in plan.findings_before if f.rule is rule])


def _examples(findings: Iterable[Finding]) -> Iterator[str]:
    for group in fold(findings):
        for subject, expected, number in group.subjects[:MOST_EXAMPLES]:
            instead = f", looked up as {_code(expected)}" if expected else ""
            yield f"- {_code(subject)}{instead}" + (f" ({number:,})" if number > 1 else "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """A code span that nothing in the text can end, so that it creates no mention and no link."""
    return f"`{visible(text).replace('`', chr(0x27))}`"
