"""What one call of `rewrite` reports; text and JSON render this."""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from ckptfix.operations.overrides import Served
from ckptfix.operations.plan import RewritePlan
from ckptfix.report.commands import suggested
from ckptfix.report.console import line
from ckptfix.report.layout import Block, table
from ckptfix.rewriting.tensors.written import NOTHING_ELSE, Written
from ckptfix.text import visible


class Outcome(StrEnum):
    """The outcome for a checkpoint."""

    REWRITTEN = "rewritten"
    WOULD_BE_REWRITTEN = "would be rewritten"
    PROPOSED = "proposed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"
    RESTORED = "restored"
    FORGOTTEN = "backup deleted"


class Rewritten(Struct, frozen=True):
    """One checkpoint and its outcome."""

    name: str
    """As the user named it."""
    outcome: Outcome
    exit_code: int
    """Of a call with this checkpoint alone."""
    error: str = ""
    """Why it failed."""
    planned: RewritePlan | None = None
    """None where nothing was planned."""
    written: Written = NOTHING_ELSE
    """Files written besides the metadata."""
    directory: str = ""
    """The directory that holds the result; empty where nothing was written."""
    can_undo: bool = False
    pull_request: str = ""
    """URL of the one that was opened."""
    kind: str = "directory"
    """`directory`, `snapshot`, `repository` or `url`."""
    ways: tuple[Served, ...] = ()
    """How each release is started with the checkpoint as stored; empty unless requested."""
    unmatched: tuple[str, ...] = ()
    """Rules of the user's name map that match no name, old or new."""

    @property
    def undo(self) -> str:
        """The command that restores the files; empty where there is none."""
        return suggested("rewrite", self.name, "--undo") if self.can_undo else ""


def summary_lines(done: tuple[Rewritten, ...]) -> Iterator[Block]:
    """The outcome for each of several checkpoints, and the number of each."""
    yield table([(visible(d.name), d.outcome.value) for d in done], head=False)
    numbers = {outcome: sum(d.outcome is outcome for d in done) for outcome in Outcome}
    parts = [f"{number:,} {outcome}" for outcome, number in numbers.items() if number]
    yield line()
    yield line(f"{len(done):,} checkpoints: ", (", ".join(parts), "bold"))
