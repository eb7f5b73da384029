"""The flags of `rewrite`, and which of them contradict each other."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.installed.targets import targets_of
from ckptfix.remote.opening import DEFAULT_POLICY, NetworkPolicy, Opened
from ckptfix.remote.reference import Directory, Repository
from ckptfix.rewriting.portable import Strategy
from ckptfix.rewriting.proved import RewriteRequest
from ckptfix.runtimes.name_maps import own_name_map
from ckptfix.text import visible

_UPLOAD: Final = (
    "upload a directory with: hf upload ORG/NAME DIR --exclude '.ckptfix/*' --create-pr"
)


class RewriteFlags(Struct, frozen=True, kw_only=True):
    """Values from the command line."""

    dry_run: bool = False
    exit_code: bool = False
    overrides: bool = False
    maps: tuple[str, ...] = ()
    mapper: str | None = None
    output: str | None = None
    undo: bool = False
    forget: bool = False
    runtimes: tuple[str, ...] = ()
    strategy: Strategy = "auto"
    from_tensors: bool = False
    tensors: bool = False
    policy: NetworkPolicy = DEFAULT_POLICY
    with_weights: bool = False
    create_pr: bool = False
    verify: bool = False
    json: bool = False

    def request(self) -> RewriteRequest:
        """What to rewrite.

        Raises:
            CkptfixError: an invalid map or runtime.
        """
        return RewriteRequest(
            own_name_map(self.maps, self.mapper),
            targets_of(self.runtimes),
            self.strategy,
            self.from_tensors,
            self.tensors,
        )


def require_sensible(names: Sequence[str], flags: RewriteFlags) -> None:
    """Refuse flags that contradict each other, whatever the checkpoints.

    Raises:
        CkptfixError: they do.
    """
    if len(names) > 1 and flags.output is not None:
        raise CkptfixError(
            "--output takes one checkpoint", advice="call ckptfix rewrite once for each"
        )
    if flags.json and flags.verify:
        raise CkptfixError(
            "--verify cannot be used with --json", advice="run ckptfix verify DIR --json"
        )
    _require_compatible(flags)
    if flags.overrides:
        _require_nothing_written(flags)


def _require_nothing_written(flags: RewriteFlags) -> None:
    """Refuse what `--overrides` cannot do.

    Raises:
        CkptfixError: it would write, or pass something that no server accepts.
    """
    writing = {
        "--dry-run": flags.dry_run,
        "--output": flags.output is not None,
        "--create-pr": flags.create_pr,
        "--verify": flags.verify,
    }
    for option, given in writing.items():
        if given:
            raise CkptfixError(f"--overrides cannot be used with {option}")
    if flags.tensors:
        raise CkptfixError(
            "--overrides cannot be used with --tensors", advice="servers do not accept tensor names"
        )


def _require_compatible(flags: RewriteFlags) -> None:
    others = flags.dry_run or flags.exit_code or flags.output is not None
    others = others or flags.from_tensors or flags.tensors or flags.strategy != "auto"
    others = others or flags.create_pr or flags.verify or flags.overrides
    others = others or bool(flags.maps or flags.mapper or flags.runtimes)
    if flags.undo and flags.forget:
        raise CkptfixError("--undo cannot be used with --forget")
    if (flags.undo or flags.forget) and others:
        raise CkptfixError(f"{'--undo' if flags.undo else '--forget'} takes no other option")
    if flags.create_pr and flags.output is not None:
        raise CkptfixError("--create-pr cannot be used with --output")
    if flags.create_pr and flags.tensors:
        raise CkptfixError(
            "--create-pr cannot be used with --tensors",
            advice="a pull request can only change JSON files; use --output DIR --with-weights",
        )
    if flags.create_pr and flags.policy.offline:
        raise CkptfixError("--create-pr cannot be used with --offline")
    if flags.with_weights and flags.output is None:
        raise CkptfixError("--with-weights requires --output", advice="add --output DIR")
    if flags.exit_code and not flags.dry_run:
        raise CkptfixError("--exit-code requires --dry-run", advice="add --dry-run")
    if flags.verify and flags.dry_run:
        raise CkptfixError("--verify needs a written result; drop --dry-run")


def require_possible(opened: Opened, flags: RewriteFlags) -> None:
    """Refuse flags that the kind of checkpoint does not allow.

    Raises:
        CkptfixError: the checkpoint cannot be rewritten where it is.
    """
    shown = visible(str(opened.reference))
    is_repository = isinstance(opened.reference, Repository)
    option = "--create-pr" if flags.create_pr else "--with-weights"
    if isinstance(opened.reference, Directory):
        if flags.create_pr or flags.with_weights:
            raise CkptfixError(
                f"{option} only works for Hub repositories; {shown} is a directory",
                advice=_UPLOAD if flags.create_pr else "",
            )
        return
    if flags.verify:
        raise CkptfixError(
            f"--verify only works for directories; {shown} is not one",
            advice="add --output DIR --with-weights, then run ckptfix verify DIR",
        )
    if flags.undo or flags.forget:
        option = "--undo" if flags.undo else "--forget"
        raise CkptfixError(f"{option} only works for directories, not for {shown}")
    if not is_repository and (flags.create_pr or flags.with_weights):
        raise CkptfixError(f"{option} only works for Hub repositories, not for {shown}")
    if not (flags.create_pr or flags.dry_run or flags.overrides or flags.output is not None):
        either = ", or --create-pr to propose the change" if is_repository else ""
        raise CkptfixError(
            f"{shown}: cannot be rewritten in place",
            advice=f"use --output DIR to write the repaired files{either}",
        )
