"""Break a checkpoint in every way, check it, repair it, and say what became of each mutation."""

import contextlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

from ckptfix.__main__ import main
from ckptfix.errors import CkptfixError
from ckptfix.operations.examine import examine
from ckptfix.operations.loading import load
from ckptfix.rules.finding import Finding
from ckptfix.runtimes.releases import requested_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.text import visible
from tests.mutations import of_entries, of_files, of_patterns, of_tensors
from tests.mutations.editable import Editable, read_editable
from tests.mutations.kind import KINDS, STOPS, Kind

NEWEST = "vllm==0.33.0"

MODULES = (of_entries, of_files, of_patterns, of_tensors)
"""Importing them fills KINDS."""

REPORTED = "reported"
SILENT = "silent"
HARMLESS = "changes nothing"
UNREPAIRED = "reported, not repaired"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation."""

    kind: str
    fixture: str
    fate: str
    detail: str = ""


@dataclass(frozen=True)
class _Seen:
    """What `check` sees in a directory."""

    codes: frozenset[str]
    findings: tuple[Finding, ...] = ()
    error: str = ""
    built: object = None

    def tells(self, kind: Kind, about: str) -> str:
        """A code of the kind that names it; empty where there is none."""
        if self.error:
            return STOPS if STOPS in kind.codes and about in self.error else ""
        for finding in self.findings:
            named = (finding.subject, finding.message, str(finding.place), *finding.modules)
            if finding.code in kind.codes and any(about in visible(one) for one in named):
                return finding.code
        return ""


def outcomes(directory: Path, workspace: Path, seed: int) -> Iterator[Outcome]:
    """What became of one mutation of every kind that fits the checkpoint."""
    healthy = read_editable(directory)
    before = _look(healthy.write(workspace / "healthy"))
    assert not before.codes, f"{directory.name} is not healthy: {sorted(before.codes)}"
    for kind in KINDS.values():
        broken = healthy.copy()
        about = kind.break_(broken, Random(f"{seed} {kind.name} {directory.name}"))
        if about is not None:
            place = workspace / f"{kind.name}-{seed}"
            yield _outcome(kind, directory.name, broken, about, place, before)


def _outcome(
    kind: Kind, fixture: str, broken: Editable, about: str, place: Path, before: _Seen
) -> Outcome:
    after = _look(broken.write(place))
    if not after.tells(kind, visible(about)):
        if not kind.always and after.built == before.built:
            return Outcome(kind.name, fixture, HARMLESS)
        detail = after.error or f"{visible(about)}: {sorted(after.codes)}"
        return Outcome(kind.name, fixture, SILENT, detail)
    if kind.repair:
        said = _rewrite(place, kind.repair)
        left = _look(place)
        if left.codes or left.error:
            detail = f"{visible(about)}: {left.error or sorted(left.codes)}; {said}"
            return Outcome(kind.name, fixture, UNREPAIRED, detail)
    return Outcome(kind.name, fixture, REPORTED)


def _look(directory: Path) -> _Seen:
    try:
        checkpoint = load(str(directory))
        examined = examine(checkpoint, None, requested_targets([NEWEST]))
    except CkptfixError as error:
        return _Seen(frozenset({STOPS}), error=str(error))
    codes = frozenset(finding.code for finding in examined.findings)
    return _Seen(codes, examined.findings, built=_built(examined.verdicts))


def _built(verdicts: Iterable[TargetVerdict]) -> object:
    """What the release builds: the judge of whether a mutation matters."""
    return tuple(
        (v.problem, tuple((m.label, m.stored, m.resolved) for m in v.modules)) for v in verdicts
    )


def _rewrite(directory: Path, command: str) -> str:
    verb, *options = command.split()
    arguments = ["ckptfix", verb, str(directory), *options, "--runtime", NEWEST]
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", arguments),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        contextlib.suppress(SystemExit),
    ):
        main()
    return said.getvalue().strip()[:300]


def table(found: Iterable[Outcome]) -> str:
    """The kill rate, kind by kind and in all."""
    by_kind: dict[str, Counter[str]] = {name: Counter() for name in KINDS}
    for outcome in found:
        by_kind[outcome.kind][outcome.fate] += 1
    fates = (REPORTED, SILENT, UNREPAIRED, HARMLESS)
    width = max(map(len, by_kind))
    lines = [f"{'kind':<{width}}  " + "  ".join(fates)]
    for name, counts in by_kind.items():
        lines.append(f"{name:<{width}}  " + "  ".join(f"{counts[f]:>{len(f)}}" for f in fates))
    total = Counter[str]()
    for counts in by_kind.values():
        total.update(counts)
    matter = total.total() - total[HARMLESS]
    lines.append(
        f"kill rate: {matter - total[SILENT]} of {matter} mutations of {len(by_kind)} kinds, "
        f"{total[UNREPAIRED]} not repaired; {total[HARMLESS]} change nothing"
    )
    return "\n".join(lines)
