"""`resolve` for people: how a release arrives at its answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ckptfix.operations.resolve import ResolvedModules
from ckptfix.report.console import count, line
from ckptfix.report.folding import fold_all
from ckptfix.report.layout import Line
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.runtimes.common.bound import Resolution
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.text import visible


def resolution_lines(resolved: Iterable[ResolvedModules]) -> Iterator[Line]:
    """How each release resolves the requested modules; equal neighbours are shown once."""
    shown = ((release.verdict.target, tuple(_release_lines(release))) for release in resolved)
    for releases, lines in runs_of_releases(shown):
        yield line((release_range(releases), "bold"))
        yield from lines


def unmatched_lines(unmatched: Mapping[str, Sequence[str]]) -> Iterator[Line]:
    """Names of modules that no release has."""
    for glob, nearest in unmatched.items():
        advice = f"; did you mean {', '.join(map(visible, nearest))}" if nearest else ""
        yield line(("error", "bold red"), f": no module is named {visible(glob)}{advice}")


def _release_lines(resolved: ResolvedModules) -> Iterator[Line]:
    verdict = resolved.verdict
    if verdict.problem:
        yield line(f"  no verdict: {verdict.problem}")
        return
    for module in resolved.modules:
        mark = ("as stored", "green") if module.agrees else ("DIFFERS from stored", "red")
        yield line("  ", (visible(module.label), "bold"), f" {module.resolved}, ", mark)
        if len(module.members) > 1 or module.members[0] != module.name:
            members = ", ".join(visible(name) for name in fold_all(module.members))
            yield line(f"    holds {members}, stored as {module.stored}")
        yield from _exclusion(verdict, module.resolution)
        yield from _entry(verdict, module.resolution)
        if module.reason:
            yield line(f"    because {module.reason}")
    if not resolved.modules:
        yield line("  builds no module with this name")


def _exclusion(verdict: TargetVerdict, resolution: Resolution | None) -> Iterator[Line]:
    if resolution is None and verdict.bound is None:
        return  # another quantizer's metadata: the reason names what decides
    if resolution is None:
        yield line("    never looked up: the class passes no quantization config")
    elif resolution.exclusion_error:
        yield line(f"    excluded? the runtime raises: {resolution.exclusion_error}")
    elif resolution.excluded is None:
        number = len(verdict.bound.patterns.patterns) if verdict.bound else 0
        none = f"none of {count(number, 'pattern')} matches" if number else "there are no patterns"
        yield line(f"    excluded? no, {none}")
    else:
        pattern = resolution.excluded.pattern
        how = resolution.excluded.how
        yield line(f"    excluded? yes, by {_origin(pattern.original, pattern.text)} ({how})")


def _entry(verdict: TargetVerdict, resolution: Resolution | None) -> Iterator[Line]:
    if resolution is None or verdict.metadata is None or verdict.bound is None:
        return
    if not verdict.metadata.is_mixed:
        algo = visible(verdict.metadata.quant_algo or "none")
        yield line(f"    quant_algo? {algo} for the whole checkpoint, by {verdict.metadata.file}")
        return
    if resolution.algo_error:
        yield line(f"    quantized_layers? the runtime raises: {resolution.algo_error}")
    elif resolution.resolved is None:
        yield line("    quantized_layers? no entry matches")
    else:
        entry, how = resolution.resolved.entry, resolution.resolved.how
        origin = _origin(entry.original, entry.name)
        yield line(f"    quantized_layers? {entry.quant_algo}, from {origin} ({how})")
    for step in verdict.bound.steps(resolution.name):
        names = ", ".join(map(visible, step.looked_for))
        yield line(f"      tried {names}: {'found' if step.resolved else 'not found'}")


def _origin(original: str, mapped: str) -> str:
    if mapped == original:
        return visible(original)
    return f"{visible(original)}, mapped to {visible(mapped)}"
