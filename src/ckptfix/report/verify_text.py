"""`verify` for people: GEMMs in groups, why some are emulated, findings on values."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ckptfix.report.check_text import finding_lines
from ckptfix.report.console import count, line, size
from ckptfix.report.folding import fold_names, mask_numbers
from ckptfix.report.layout import Block, Line, table
from ckptfix.report.matrix import matrix_lines
from ckptfix.text import visible
from ckptfix.verifying.outcome import GemmResult, VerifyReport

_STYLES = {"failed": "bold red", "emulated": "yellow", "native": "green", "measured": ""}
_HEADER = ("module", "algo", "kernel", "how", "error", "fusion error", "size", "time")
_NEAR_ZERO = 5e-5


class _Group(Struct, frozen=True):
    """GEMMs that differ in numbers of their names only."""

    results: tuple[GemmResult, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        first = self.results[0]
        names = [result.planned.name for result in self.results]
        number = f" ({len(names):,})" if len(names) > 1 else ""
        return (
            visible(fold_names(names)) + number,
            first.planned.quant_algo,
            first.kernel or "-",
            "values only" if first.how == "measured" else first.how,
            _worst([r.error for r in self.results]),
            _worst([r.requantized_error for r in self.results]),
            size(sum(r.planned.nbytes for r in self.results)),
            _milliseconds(sum(r.seconds for r in self.results)),
        )


def verify_text(report: VerifyReport, *, verbose: bool) -> Iterator[Block]:
    """Everything, folded unless verbose."""
    yield line((visible(report.checkpoint), "bold"), f" on {report.device}, torch {report.torch}")
    yield line(f"modules fused as in {report.joined_as}")
    yield line()
    groups = _groups(report.results, fold=not verbose)
    if groups:
        styles = [_STYLES[group.results[0].how] for group in groups]
        yield table([_HEADER, *(group.cells for group in groups)], styles)
    yield from _reasons(report.results)
    yield from _not_compared(report, verbose=verbose)
    yield line()
    yield from matrix_lines(report.verdicts)
    if report.verdicts:
        yield line()
    yield from finding_lines(report.findings, verbose=verbose)
    yield _summary(report)


def _groups(results: Sequence[GemmResult], *, fold: bool) -> list[_Group]:
    similar: dict[tuple[str, ...], list[GemmResult]] = {}
    for result in results:
        name = mask_numbers(result.planned.name) if fold else result.planned.name
        reason = "" if result.how == "failed" else result.reason
        key = name, result.planned.quant_algo, result.how, result.kernel, reason
        similar.setdefault(key, []).append(result)
    return [_Group(tuple(members)) for members in similar.values()]


def _reasons(results: Sequence[GemmResult]) -> Iterator[Line]:
    """Each reason once."""
    for how, shown in (("emulated", "emulated"), ("failed", "failed"), ("measured", "not run")):
        reasons: dict[str, list[GemmResult]] = {}
        for result in results:
            if result.how == how and result.reason:
                reasons.setdefault(result.reason, []).append(result)
        for reason, of_reason in reasons.items():
            yield line((f"{shown}, {count(len(of_reason), 'module')}", _STYLES[how]), f": {reason}")


def _not_compared(report: VerifyReport, *, verbose: bool) -> Iterator[Line]:
    """Each reason once, and the modules if verbose."""
    reasons: dict[str, list[str]] = {}
    for module, reason in report.not_compared.items():
        reasons.setdefault(reason, []).append(module)
    for reason, modules in reasons.items():
        head = f"not compared with the source, {count(len(modules), 'module')}"
        yield line((head, "yellow"), f": {reason}")
        if verbose:
            yield from (line(f"  {visible(module)}") for module in modules)


def _worst(errors: Sequence[float | None]) -> str:
    known = [error for error in errors if error is not None]
    if not known:
        return "-"
    worst = max(known)
    return "0" if worst < _NEAR_ZERO else f"{worst:.4f}" if worst < 1 else f"{worst:.3g}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds else "-"


def _summary(report: VerifyReport) -> Line:
    """`NAME: 14 modules agree (...)`, or what does not."""
    hows = [result.how for result in report.results]
    agree = len(hows) - hows.count("failed") - hows.count("measured")
    native, emulated = hows.count("native"), hows.count("emulated")
    word = "agrees" if agree == 1 else "agree"
    parts = [f"{count(agree, 'GEMM')} {word} ({native:,} native, {emulated:,} emulated)"]
    left_out = sum(result.how == "measured" and not result.reason for result in report.results)
    if left_out:
        parts.append(f"{left_out:,} more checked by value only; --all runs their GEMMs too")
    if report.undecoded:
        parts.append(f"{report.undecoded:,} not run because ckptfix has no decoder for them")
    if report.sources or report.not_compared:
        rest = f", {len(report.not_compared):,} not" if report.not_compared else ""
        parts.append(f"{count(report.sources, 'module')} compared with the source{rest}")
    failed = hows.count("failed")
    if failed:
        parts.insert(0, f"{count(failed, 'GEMM')} failed")
    if report.errors:
        parts.insert(0, count(len(report.errors), "error"))
    read = f"{size(report.nbytes)} in {report.seconds:.1f} s"
    if report.ranks > 1:
        read += f" on {report.ranks} ranks"
    if report.interrupted:
        parts.insert(0, f"interrupted after {len(hows):,} of {count(report.planned, 'GEMM')}")
    style = {0: "bold green", 1: "bold red"}.get(report.exit_code, "bold yellow")
    return line(f"{visible(report.checkpoint)}: ", ("; ".join(parts), style), f"; {read}")
