"""`rewrite` for people."""

from collections.abc import Iterator, Sequence

from ckptfix.operations.checked import ReleaseAnswer, answers_of_plan
from ckptfix.operations.further import Further
from ckptfix.operations.plan import RewritePlan
from ckptfix.remote.reference import is_remote
from ckptfix.report.commands import ELSEWHERE, suggested
from ckptfix.report.console import count, line, size
from ckptfix.report.layout import SHELL, Block, Line, table
from ckptfix.report.matrix import problem_lines, under
from ckptfix.report.outlook import effect_text
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.report.spelling import spelled
from ckptfix.report.tensors_text import no_tensor_lines, tensor_tables
from ckptfix.rewriting.forget import Forgotten
from ckptfix.rewriting.output import Output
from ckptfix.rewriting.plan import FileChange, Plan
from ckptfix.rewriting.proved import ProvedPlan
from ckptfix.rewriting.tensors.written import Written
from ckptfix.rules.finding import number_of, numbers_by_rule
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.releases import specs_of
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible


def refusal_lines(name: str, planned: RewritePlan) -> Iterator[Line]:
    """Why nothing was written, and what to run instead."""
    plan, harmed = planned.plan, planned.harmed
    yield line(("refused", "bold red"), f": {visible(name)} was left unchanged")
    for refusal in plan.refusals:
        yield line("  ", (visible(refusal.name), "bold"), f" {refusal.reason}")
        yield line("    at ", (str(refusal.place), "cyan"))
    for releases, lines in runs_of_releases((v.target, tuple(problem_lines(v))) for v in harmed):
        what = f"what {release_range(releases)} {'build' if len(releases) > 1 else 'builds'}"
        yield line(f"  this would break {what} correctly today")
        yield from under(releases, lines)
    if planned.further:
        yield from further_lines("run instead", name, planned.further)


def answer_lines(planned: ProvedPlan) -> Iterator[Block]:
    """Whether each release loads it, before and after, and what remains."""
    before, after = answers_of_plan(planned)
    if not after:
        return
    states = ((b.target, (b.loads, a.loads)) for b, a in zip(before, after, strict=True))
    rows = [(f"  {release_range(releases)}", *both) for releases, both in runs_of_releases(states)]
    yield table([("will it load?", "before", "after"), *rows], head=False)
    for heading, remaining in (
        ("no rename or alias fixes these", [a for a in after if a.loads is Answer.NO]),
        ("not known", [a for a in after if a.loads is Answer.UNKNOWN]),
    ):
        if remaining:
            yield line(heading)
        for releases, lines in runs_of_releases((a.target, tuple(_remains(a))) for a in remaining):
            yield from under(releases, lines)


def _remains(answer: ReleaseAnswer) -> Iterator[Line]:
    """What is wrong, by module where modules are."""
    if answer.loads is Answer.UNKNOWN or answer.answer != answer.verdict.loads:
        yield line(answer.answer.in_short)
    if answer.loads is not Answer.UNKNOWN:
        yield from problem_lines(answer.verdict)


def answer_states(planned: ProvedPlan) -> Iterator[tuple[list[Target], tuple[str, str]]]:
    """Neighbouring releases with the same answers, before and after."""
    pairs = zip(*answers_of_plan(planned), strict=True)
    return runs_of_releases(
        (new.target, (visible(str(old.answer)), visible(str(new.answer)))) for old, new in pairs
    )


def plan_lines(plan: Plan) -> Iterator[Block]:
    """Files, and how many names each rule changed."""
    rows = [(f"  {file.file}", ", ".join(done_to(file))) for file in plan.files]
    yield table(rows, head=False)
    used = [(f"  {rule}", count(n, "name")) for rule, n in plan.names_per_rule if n]
    if used:
        yield line(f"name map: {spelled(plan.name_map.origin)}")
        yield table(used, head=False)


def done_to(file: FileChange) -> Iterator[str]:
    """What changes in a file, by kind."""
    if file.renamed:
        yield f"{count(file.renamed, 'name')} changed"
    if file.removed:
        yield f"{count(file.removed, 'name')} removed"
    if file.added:
        yield f"{count(file.added, 'alias', 'aliases')} added"
    if file.copied:
        yield f"{count(file.copied, 'name')} copied from {file.copied_from}"
    if file.rebuilt:
        yield f"{count(file.rebuilt, 'value')} set from the tensors"


def findings_text(plan: Plan) -> str:
    """What was and is wrong in the files; what a release makes of it is in its answer."""
    before, after = number_of(plan.findings_before), number_of(plan.findings_after)
    return f"findings in metadata and tensors: {before:,} before, {after:,} after"


def verdict_lines(name: str, planned: ProvedPlan) -> Iterator[Line]:
    """The findings before and after, unless the answers of the releases are all there is to say."""
    plan = planned.plan
    if planned.portable is None or plan.findings_before or plan.findings_after:
        yield line(findings_text(plan))
    if plan.findings_after:
        for rule, number in numbers_by_rule(plan.findings_after).items():
            yield line(f"  {number:,} {rule.code} {rule.title}")
        yield line("details: ", (suggested("check", name), SHELL))


def more_lines(name: str, *options: str) -> Iterator[Line]:
    """The other repair, if it would change something; `options` are its additional options."""
    more = suggested("rewrite", name, "--from-tensors", *options)
    yield line("more can be fixed from the tensors: ", (more, SHELL))


def unchanged_lines(name: str, plan: Plan, *, for_releases: bool) -> Iterator[Line]:
    """Nothing to rewrite."""
    why = ""
    if not plan.name_map.mapper.rules and not for_releases:
        why = "; there is no built-in name map for this architecture, pass --map or --mapper"
    yield line(f"{visible(name)}: nothing to rename{why}")


def unmatched_lines(name: str, rules: Sequence[str]) -> Iterator[Line]:
    """Rules of the user without effect."""
    for rule in rules:
        yield line(("warning", "bold yellow"), f": {visible(name)}: no name matches {rule}")


def forgotten_lines(name: str, forgotten: Forgotten | None) -> Iterator[Line]:
    """What `--forget` removed, and what it left."""
    shown = visible(name)
    if forgotten is None:
        yield line(f"{shown}: nothing to delete: there is no .ckptfix backup here")
        return
    removed = f"{count(forgotten.files, 'file')}, {size(forgotten.nbytes)}"
    yield line(f"deleted the .ckptfix backup of {shown}: {removed}")
    if forgotten.originals:
        files = ", ".join(map(visible, forgotten.originals))
        yield line(f"the rewrite of {files} can no longer be undone")
    if forgotten.left:
        yield line(
            f"left in place, not created by ckptfix: {', '.join(map(visible, forgotten.left))}"
        )


def output_lines(output: Output) -> Iterator[Line]:
    """What `--output` created, and how."""
    made = [f"{count(number, 'weight file')} by {kind}" for kind, number in output.linked]
    if output.renamed:
        made.append(f"{count(output.renamed, 'weight file')} copied with new names")
    made.append(f"{count(output.copied, 'file')} copied")
    yield line(f"made {output.directory}: {', '.join(made)}")
    if output.left_out:
        yield line(
            f"{count(len(output.left_out), 'file')} not copied; use --with-weights to fetch them"
        )


def dry_run_lines(name: str, planned: RewritePlan, written: Written) -> Iterator[Block]:
    """What would be changed."""
    if not planned.changes_something:
        yield from nothing_lines(name, planned)
        return
    number = planned.plan.changes + sum(len(shard.renames) for shard in written.changes.shards)
    yield line(f"would rewrite {visible(name)}, {count(number, 'change')}")
    yield from done_lines(planned, written)


def done_lines(planned: RewritePlan, written: Written) -> Iterator[Block]:
    """What is changed, tensors first."""
    yield from tensor_tables(written.changes, written.copied)
    yield from plan_lines(planned.plan)
    yield from _no_tensors(planned)


def nothing_lines(name: str, planned: RewritePlan) -> Iterator[Line]:
    """A plan that changes nothing."""
    yield from unchanged_lines(name, planned.plan, for_releases=planned.portable is not None)
    yield from _no_tensors(planned)


def after_lines(name: str, planned: RewritePlan) -> Iterator[Block]:
    """Findings and answers for the result, and what else can be repaired."""
    yield from verdict_lines(name, planned)
    yield from answer_lines(planned)
    if planned.tensors_say_more:
        runtimes = [w for spec in specs_of(planned.requested) for w in ("--runtime", spec)]
        yield from more_lines(name, *runtimes, *_elsewhere(name))
    if planned.further:
        yield from further_lines("more can be fixed for fewer releases", name, planned.further)


def further_lines(what: str, name: str, further: Further) -> Iterator[Line]:
    """A rewrite for fewer releases, and which answers change with it."""
    command = spelled(f"`rewrite({further.advised.arguments})`", name, *_elsewhere(name))
    yield line(f"{what}: ", (command, SHELL))
    yield line(f"    # {effect_text(further.now, further.advised)}")


def _elsewhere(name: str) -> tuple[str, ...]:
    return ELSEWHERE if is_remote(name) else ()


def _no_tensors(planned: RewritePlan) -> Iterator[Line]:
    if planned.tensors is not None and not planned.tensors.changes_something:
        yield from no_tensor_lines(spelled(planned.tensors.renames.name_map.origin))
