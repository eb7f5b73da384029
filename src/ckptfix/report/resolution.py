"""`resolve` for people: how a release gets to its answer."""

from collections.abc import Iterator

from ckptfix.operations.resolve import ResolvedModules
from ckptfix.report.console import Line, count, line
from ckptfix.report.folding import fold_all
from ckptfix.runtimes.lookup.binding import Resolution
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.text import visible


def resolution_lines(resolved: ResolvedModules) -> Iterator[Line]:
    """How one release gets to its answer for the modules asked about."""
    verdict = resolved.verdict
    yield line((str(verdict.target), "bold"))
    if verdict.problem:
        yield line(f"  no verdict, {verdict.problem}")
        return
    for module in resolved.modules:
        mark = ("as stored", "green") if module.agrees else ("NOT as stored", "red")
        yield line("  ", (visible(module.label), "bold"), f" {module.resolved}, ", mark)
        if len(module.members) > 1 or module.members[0] != module.name:
            members = ", ".join(visible(name) for name in fold_all(module.members))
            yield line(f"    holds {members}, stored as {module.stored}")
        yield from _exclusion(verdict, module.resolution)
        yield from _entry(verdict, module.resolution)
        if module.reason:
            yield line(f"    because {module.reason}")
    if not resolved.modules:
        yield line("  builds no module of this name")


def _exclusion(verdict: TargetVerdict, resolution: Resolution | None) -> Iterator[Line]:
    if resolution is None:
        yield line("    asks nothing: it is built without a quantization config")
    elif resolution.exclusion_error:
        yield line(f"    excluded? raises: {resolution.exclusion_error}")
    elif resolution.excluded is None:
        number = len(verdict.bound.patterns.patterns) if verdict.bound else 0
        none = f"none of {count(number, 'pattern')} fits" if number else "there is no pattern"
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
        yield line(f"    quantized_layers? raises: {resolution.algo_error}")
    elif resolution.resolved is None:
        yield line("    quantized_layers? no entry fits")
    else:
        entry, how = resolution.resolved.entry, resolution.resolved.how
        origin = _origin(entry.original, entry.name)
        yield line(f"    quantized_layers? {entry.quant_algo}, by {origin} ({how})")
    for step in verdict.bound.steps(resolution.name):
        names = ", ".join(map(visible, step.looked_for))
        yield line(f"      looked for {names}: {'found' if step.resolved else 'not there'}")


def _origin(original: str, mapped: str) -> str:
    if mapped == original:
        return visible(original)
    return f"{visible(original)}, mapped to {visible(mapped)}"
