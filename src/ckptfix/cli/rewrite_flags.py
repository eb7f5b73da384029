"""The flags of `rewrite`, and which of them contradict each other."""

from dataclasses import dataclass
from typing import Final

from ckptfix.errors import CkptfixError
from ckptfix.operations.plan import RewriteRequest
from ckptfix.remote.opening import HERE_AND_THERE, Opened, Reach
from ckptfix.remote.reference import Directory, Repository
from ckptfix.rewriting.portable import Strategy
from ckptfix.runtimes.name_maps import own_name_map
from ckptfix.runtimes.releases import asked_targets
from ckptfix.text import visible

_UPLOAD: Final = (
    "upload a directory with: hf upload ORG/NAME DIR --exclude '.ckptfix/*' --create-pr"
)


@dataclass(frozen=True, kw_only=True)
class RewriteFlags:
    """What the command line gives."""

    dry_run: bool = False
    exit_code: bool = False
    maps: tuple[str, ...] = ()
    mapper: str | None = None
    output: str | None = None
    undo: bool = False
    forget: bool = False
    runtimes: tuple[str, ...] = ()
    strategy: Strategy = "auto"
    from_tensors: bool = False
    tensors: bool = False
    reach: Reach = HERE_AND_THERE
    with_weights: bool = False
    create_pr: bool = False
    verify: bool = False

    def request(self) -> RewriteRequest:
        """What to rewrite.

        Raises:
            CkptfixError: a map or a runtime that cannot be.
        """
        return RewriteRequest(
            own_name_map(self.maps, self.mapper),
            asked_targets(self.runtimes),
            self.strategy,
            self.from_tensors,
            self.tensors,
        )


def require_sensible(flags: RewriteFlags) -> None:
    """Refuse flags that contradict each other, whatever the checkpoint.

    Raises:
        CkptfixError: they do.
    """
    asks = flags.dry_run or flags.exit_code or flags.output is not None
    asks = asks or flags.from_tensors or flags.tensors or flags.strategy != "auto"
    asks = asks or flags.create_pr or flags.verify
    asks = asks or bool(flags.maps or flags.mapper or flags.runtimes)
    if flags.undo and flags.forget:
        raise CkptfixError("--undo and --forget contradict each other")
    if (flags.undo or flags.forget) and asks:
        raise CkptfixError(f"{'--undo' if flags.undo else '--forget'} takes no other option")
    if flags.create_pr and flags.output is not None:
        raise CkptfixError("--create-pr and --output contradict each other")
    if flags.create_pr and flags.tensors:
        raise CkptfixError(
            "--create-pr and --tensors contradict each other",
            advice="a pull request changes JSON files only; use --output DIR --with-weights",
        )
    if flags.create_pr and flags.reach.offline:
        raise CkptfixError("--create-pr and --offline contradict each other")
    if flags.with_weights and flags.output is None:
        raise CkptfixError("--with-weights is for --output", advice="add --output DIR")
    if flags.exit_code and not flags.dry_run:
        raise CkptfixError("--exit-code is for --dry-run", advice="add --dry-run")
    if flags.verify and flags.dry_run:
        raise CkptfixError("--dry-run writes nothing that --verify could run on")


def require_possible(opened: Opened, flags: RewriteFlags) -> None:
    """Refuse flags that the kind of checkpoint does not allow.

    Raises:
        CkptfixError: there is nothing that can be done to the checkpoint where it is.
    """
    shown = visible(str(opened.reference))
    is_repository = isinstance(opened.reference, Repository)
    option = "--create-pr" if flags.create_pr else "--with-weights"
    if isinstance(opened.reference, Directory):
        if flags.create_pr or flags.with_weights:
            raise CkptfixError(
                f"{option} is for repositories of the Hub, {shown} is a directory",
                advice=_UPLOAD if flags.create_pr else "",
            )
        return
    if flags.verify:
        raise CkptfixError(
            f"--verify is for directories, {shown} is not one",
            advice="add --output DIR --with-weights, then run ckptfix verify DIR",
        )
    if flags.undo or flags.forget:
        option = "--undo" if flags.undo else "--forget"
        raise CkptfixError(f"{option} is for directories, not for {shown}")
    if not is_repository and (flags.create_pr or flags.with_weights):
        raise CkptfixError(f"{option} is for repositories of the Hub, not for {shown}")
    if not (flags.create_pr or flags.dry_run or flags.output is not None):
        either = ", or --create-pr to propose the change" if is_repository else ""
        raise CkptfixError(
            f"{shown}: is not rewritten where it is",
            advice=f"use --output DIR to get the repaired files{either}",
        )
