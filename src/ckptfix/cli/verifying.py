"""What `ckptfix verify` does, in order."""

import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.numbers import Numbers
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.judging import asked_targets, judge_all, known_targets, without_releases
from ckptfix.cli.loading import builtin_name_map, load
from ckptfix.commands import with_name
from ckptfix.errors import CkptfixError
from ckptfix.remote.local_url import local_path
from ckptfix.report.console import show, write_plain
from ckptfix.report.verify_json import verify_json
from ckptfix.report.verify_progress import progress_bar
from ckptfix.report.verify_text import verify_text
from ckptfix.rules.finding import Context, Finding
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict, is_known
from ckptfix.verify.outcome import VerifyReport
from ckptfix.verify.plan import GENERIC_FAMILY, Plan, plan_gemms, sampled, share_of

if TYPE_CHECKING:
    from ckptfix.verify.ranks import Ranks

_RULES = ("CKF301", "CKF7", "CKF8")
"""Tensors that cannot be run, modules that are not resolved, numbers. `check` has the rest."""


@dataclass(frozen=True)
class VerifyOptions:
    """The options of the command."""

    device: str | None = None
    runtimes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sample: int | None = None
    all: bool = False
    tokens: int = 16
    backend: str = "auto"
    source: str | None = None
    prefetch: int = 10**9
    json: bool = False
    verbose: bool = False


def require_torch() -> None:
    """See that torch can be imported, and quietly.

    Raises:
        CkptfixError: it is not installed.
    """
    if find_spec("torch") is None:
        raise CkptfixError(
            "verify needs torch, which is not installed",
            advice="pip install 'ckptfix[verify]', or follow https://pytorch.org for your CUDA",
        )
    # Torch runs without NumPy and so does this; the user need not hear of it.
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")


def run_verify(directory: str, options: VerifyOptions) -> int:
    """Verify and report; the exit code.

    Raises:
        CkptfixError: torch or the device is missing, a file cannot be read, nothing to verify.
    """
    if options.all and options.sample is not None:
        raise CkptfixError("--all and --sample contradict each other")
    directory = local_path(directory) or directory
    DirectorySource.open(directory)  # the weights are read: no reference to another place will do
    checkpoint = load(directory)
    require_torch()
    from ckptfix.verify.ranks import ranks

    with ranks() as of:
        report = _verify(checkpoint, directory, options, of)
    if report is None:
        return 0
    if options.json:
        write_plain(verify_json(report), sys.stdout)
    else:
        show(verify_text(report, verbose=options.verbose), sys.stdout)
    return report.exit_code


@dataclass(frozen=True)
class _Asked:
    """What the user wants to know, before a weight is read."""

    plan: Plan
    naming: Naming
    joined_as: str
    verdicts: tuple[TargetVerdict, ...]


def _asked(checkpoint: Checkpoint, options: VerifyOptions) -> _Asked:
    targets = asked_targets(options.runtimes)
    verdicts = judge_all(checkpoint, targets)
    name_map = builtin_name_map(checkpoint)
    naming = Naming(checkpoint, without_releases(name_map) if verdicts else name_map)
    family, joined_as = _family(checkpoint, targets)
    plan = plan_gemms(checkpoint, naming, family, options.modules)
    if not options.all:
        plan = sampled(plan, options.sample or 1)
    return _Asked(plan, naming, joined_as, verdicts)


def _family(checkpoint: Checkpoint, targets: Sequence[Target]) -> tuple[Family, str]:
    """Whose way of joining modules to take, and its name."""
    known = [target for target in targets if is_known(checkpoint, target)]
    for target in known or known_targets(checkpoint):
        for architecture in checkpoint.config.architectures:
            family = family_for(target.runtime, target.version, [architecture])
            if family is not None:
                return family, str(target)
    return GENERIC_FAMILY, "most runtimes do, its architecture is not known"


def _verify(
    checkpoint: Checkpoint, directory: str, options: VerifyOptions, of: "Ranks"
) -> VerifyReport | None:
    from ckptfix.verify.backends.choice import asked_backends
    from ckptfix.verify.device import open_device, torch_version
    from ckptfix.verify.ranks import gather
    from ckptfix.verify.run import RunSettings, run_plan
    from ckptfix.verify.spans import open_unquantized

    asked = _asked(checkpoint, options)
    device = open_device(options.device)
    settings = RunSettings(
        device, asked_backends(options.backend), options.tokens, options.prefetch
    )
    unquantized = None
    if options.source is not None:
        unquantized = open_unquantized(local_path(options.source) or options.source)
    mine = share_of(asked.plan, of.rank, of.size)
    with progress_bar(mine.nbytes, len(mine.gemms)) as progress:
        source = DirectorySource.open(directory)
        part = run_plan(checkpoint, source, mine, settings, progress, unquantized)
    whole = gather(part, of, asked.plan)
    if whole is None:
        return None
    return VerifyReport(
        checkpoint=directory,
        device=str(device),
        torch=torch_version(),
        joined_as=asked.joined_as,
        tokens=options.tokens,
        results=whole.results,
        findings=tuple(_findings(checkpoint, asked, whole.numbers, options)),
        planned=len(asked.plan.gemms),
        nbytes=whole.nbytes,
        seconds=whole.seconds,
        ranks=of.size,
        interrupted=whole.interrupted,
        verdicts=asked.verdicts,
        sources=sum(n.source is not None for n in whole.numbers.modules.values()),
    )


def _findings(
    checkpoint: Checkpoint, asked: _Asked, numbers: Numbers, options: VerifyOptions
) -> Iterable[Finding]:
    """What the rules that count here find; with --modules in these only."""
    context = Context(checkpoint, asked.naming, asked.verdicts, numbers)
    chosen = {member for gemm in asked.plan.gemms for member in gemm.members}
    for code, rule in RULES.items():
        if code.startswith(_RULES):
            for finding in rule.find(context):
                if not options.modules or chosen.intersection(finding.modules):
                    yield replace(finding, advice=with_name(finding.advice, checkpoint.name))
