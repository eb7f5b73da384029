"""What `check` answers against what the runtimes did: a table, and every disagreement."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ckptfix.runtimes.structure.sizes import FILLED_UP
from ckptfix.runtimes.structure.tables import USES_EMBEDDINGS
from truth_loop.answers import Answered, ask_as_judged
from truth_loop.case import Case
from truth_loop.excuses import is_excused
from truth_loop.judges import home_of
from truth_loop.stricter import Judged

AGREE: Final = {("yes", True), ("no", False)}
FORBIDDEN: Final = {("yes", False), ("no", True), ("unknown", True)}
"""Answers that a user would act on and be wrong; `unknown` about what fails is only weak."""
_UNSEEN: Final = {FILLED_UP: "", USES_EMBEDDINGS: "sglang"}
"""What the judge cannot see -> start of the releases that were seen to do it."""


@dataclass(frozen=True)
class Comparison:
    """One case on one release."""

    case: Case
    release: str
    judged: Judged
    answered: Answered

    @property
    def agrees(self) -> bool:
        """True also where the runtime leaves it open, and where its failure is excused."""
        found = self.answered.answer, self.loads
        is_unread = self.case.id.startswith("exports-") and self.answered.answer == "unknown"
        return self.loads is None or found in AGREE or is_unread or self.is_excused

    @property
    def loads(self) -> bool | None:
        """What the judge says; None where SGLang fills a weight up with zeros, or writes one twice.

        The judge, which follows stored tensors one by one, sees neither.
        """
        unknown = [what for what, start in _UNSEEN.items() if self.release.startswith(start)]
        unseen = any(what in why for what in unknown for why in self.answered.reasons)
        return None if self.judged.loads and unseen else self.judged.loads

    @property
    def is_excused(self) -> bool:
        """True for a `yes` where what the runtime lost is not needed (`excuses.py`)."""
        if self.answered.answer != "yes" or self.judged.loads is not False:
            return False
        return is_excused(
            self.case, self.release, self.judged.why, self.case.stored(home_of(self.case.origin))
        )

    def as_line(self) -> dict[str, Any]:
        """A line of `tests/data/truth`."""
        seen = {"runtime": self.release, "loads": self.loads, "why": list(self.judged.why)}
        return self.case.as_line() | seen

    def __str__(self) -> str:
        did = {True: "loads", False: "fails", None: "open"}[self.loads]
        lines = [f"{self.case.id} on {self.release}: {self.answered.answer}/{did}"]
        lines += [f"  {self.case.origin}: {how}" for how in self.case.how]
        lines += [f"  runtime: {why}" for why in self.judged.why]
        return "\n".join([*lines, *(f"  ckptfix: {why}" for why in self.answered.reasons[:5])])


def answer(case: Case) -> Mapping[str, Answered]:
    """Release -> the answer of `check` for a case."""
    with TemporaryDirectory() as folder:
        return ask_as_judged(case.write(home_of(case.origin), Path(folder) / case.id))


def answer_all(cases: Iterable[Case], *, processes: int = 2) -> Iterator[Mapping[str, Answered]]:
    """The answers in order, several processes at a time."""
    with ProcessPoolExecutor(processes) as executor:
        yield from executor.map(answer, cases)


def table(compared: Iterable[Comparison]) -> str:
    """A row for each release and kind of outcome."""
    counted = Counter((c.release, c.answered.answer, c.loads, c.is_excused) for c in compared)
    did = {True: "loads", False: "fails", None: "open"}
    rows = [f"{'release':16} {'ckptfix':8} {'runtime':8} cases"]
    for (release, said, loads, excused), number in sorted(counted.items(), key=str):
        mark = "  <- wrong" if (said, loads) in FORBIDDEN else ""
        mark = "  excused, see truth_loop/excuses.py" if excused else mark
        rows.append(f"{release:16} {said:8} {did[loads]:8} {number:5}{mark}")
    return "\n".join(rows)
