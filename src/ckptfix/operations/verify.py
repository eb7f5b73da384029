"""`verify`: read the weights and run the quantized GEMMs; needs torch."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.numbers import Numbers
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError
from ckptfix.installed.targets import targets_of
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.local_url import local_path
from ckptfix.rules.context import Facts
from ckptfix.rules.finding import Finding
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.name_maps import builtin_name_map
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.releases import is_known, judge_all, known_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible
from ckptfix.verifying.outcome import VerifyReport
from ckptfix.verifying.plan import GENERIC_FAMILY, Plan, plan_gemms, sampled, share_of

if TYPE_CHECKING:
    from ckptfix.verifying.ranks import Ranks


class VerifyRequest(Struct, frozen=True):
    """What to verify, and how."""

    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`; if None, CUDA if available, otherwise the CPU."""
    targets: tuple[Target, ...] = ()
    """Modules are joined as the first of them joins them."""
    modules: tuple[str, ...] = ()
    """Globs over module names; all without any."""
    sample: int | None = 1
    """GEMMs of every algorithm, shape and role that run; None for every one."""
    tokens: int = 16
    """Rows of the random input."""
    backend: str = "auto"
    source: str | None = None
    """Directory of the unquantized checkpoint that this one was made from."""
    prefetch: int = 10**9
    """Bytes read ahead of the current module."""


def require_torch() -> None:
    """Check that torch can be imported, and silence its start-up warning.

    Raises:
        CkptfixError: it is not installed.
    """
    if find_spec("torch") is None:
        raise CkptfixError(
            "verify needs torch, which is not installed",
            advice="pip install 'ckptfix[verify]', or follow https://pytorch.org for your CUDA",
        )
    # Neither torch nor this needs NumPy, so the warning is noise.
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")


def verify_directory(
    directory: str,
    request: VerifyRequest,
    listener: Listener = SILENT,
    *,
    distributed: bool = True,
) -> VerifyReport | None:
    """Verify the checkpoint in a directory.

    Under torchrun each process reads its share if `distributed`; None on all but the first.

    Raises:
        CkptfixError: torch or the device is missing, a file cannot be read, nothing to verify.
    """
    directory = local_path(directory) or directory
    _require_utf8(DirectorySource.open(directory))  # a local directory: the weights are read
    checkpoint = load(directory, listener=listener)
    require_torch()
    from ckptfix.verifying.ranks import Ranks, ranks  # noqa: PLC0415 - torch

    with limited(), ranks() if distributed else nullcontext(Ranks()) as of:
        return _verify(checkpoint, directory, request, of, listener)


def _require_utf8(source: DirectorySource) -> None:
    try:
        source.where.encode()
    except UnicodeEncodeError as error:
        raise CkptfixError(
            f"{visible(source.where)}: not UTF-8, and the safetensors library opens no such path",
            advice="rename the directory",
        ) from error


class _Subject(Struct, frozen=True):
    """Validate the request before a weight is read."""

    plan: Plan
    naming: Naming
    joined_as: str
    verdicts: tuple[TargetVerdict, ...]


def _subject(checkpoint: Checkpoint, request: VerifyRequest) -> _Subject:
    verdicts = judge_all(checkpoint, request.targets)
    name_map = builtin_name_map(checkpoint)
    naming = Naming(checkpoint, name_map.without_releases() if verdicts else name_map)
    family, joined_as = _family(checkpoint, request.targets)
    plan = plan_gemms(checkpoint, naming, family, request.modules)
    if request.sample is not None:
        plan = sampled(plan, request.sample)
    return _Subject(plan, naming, joined_as, verdicts)


def _family(checkpoint: Checkpoint, targets: Sequence[Target]) -> tuple[Family, str]:
    """The release whose way of joining modules applies, and its name."""
    known = [target for target in targets if is_known(checkpoint, target)]
    for target in known or known_targets(checkpoint):
        for architecture in checkpoint.config.architectures:
            family = family_for(target.runtime, target.version, [architecture])
            if family is not None:
                return family, str(target)
    return GENERIC_FAMILY, "most runtimes do (unknown architecture)"


def _verify(
    checkpoint: Checkpoint,
    directory: str,
    request: VerifyRequest,
    of: "Ranks",
    listener: Listener,
) -> VerifyReport | None:
    from ckptfix.verifying.backends.choice import requested_backends  # noqa: PLC0415 - torch
    from ckptfix.verifying.device import open_device, torch_version  # noqa: PLC0415
    from ckptfix.verifying.ranks import gather  # noqa: PLC0415
    from ckptfix.verifying.run import RunSettings, run_plan  # noqa: PLC0415
    from ckptfix.verifying.spans import not_compared, open_unquantized  # noqa: PLC0415

    subject = _subject(checkpoint, request)
    device = open_device(request.device)
    settings = RunSettings(
        device, requested_backends(request.backend), request.tokens, request.prefetch
    )
    unquantized = None
    if request.source is not None:
        unquantized = open_unquantized(local_path(request.source) or request.source)
    left_out = not_compared(checkpoint, subject.plan, unquantized) if unquantized else {}
    if request.source is not None:
        _require_counterpart(subject.plan, left_out, request.source)
    mine = share_of(subject.plan, of.rank, of.size)

    def progress(done: int, total: int) -> None:
        listener.step(Step("verifying weights", checkpoint.name, done, total, in_bytes=True))

    opened = DirectorySource.open(directory)
    part = run_plan(checkpoint, opened, mine, settings, progress, unquantized)
    whole = gather(part, of, subject.plan)
    if whole is None:
        return None
    return VerifyReport(
        checkpoint=directory,
        device=str(device),
        torch=torch_version(),
        joined_as=subject.joined_as,
        tokens=request.tokens,
        results=whole.results,
        findings=tuple(_findings(checkpoint, subject, whole.numbers, request)),
        planned=len(subject.plan.gemms),
        nbytes=whole.nbytes,
        seconds=whole.seconds,
        ranks=of.size,
        interrupted=whole.interrupted,
        verdicts=subject.verdicts,
        sources=sum(n.source is not None for n in whole.numbers.modules.values()),
        not_compared=left_out,
    )


def _require_counterpart(plan: Plan, left_out: Mapping[str, str], source: str) -> None:
    """Refuse a source that proves nothing, before a weight is read."""
    members = {member for gemm in plan.gemms for member in gemm.members}
    if len(left_out) < len(members):
        return
    why = "; the checkpoint has no quantized weight"
    if left_out:
        ((reason, _),) = Counter(left_out.values()).most_common(1)
        modules = "quantized module" if len(members) == 1 else "quantized modules"
        why = f" with any of the {len(members):,} {modules}: {reason}"
    raise CkptfixError(
        f"`source` {visible(source)}: cannot be compared{why}",
        advice="use the unquantized checkpoint that this one was made from, or omit `source`",
    )


def _findings(
    checkpoint: Checkpoint, subject: _Subject, numbers: Numbers, request: VerifyRequest
) -> Iterable[Finding]:
    """Findings on tensors that cannot be run, unresolved modules and values; `check` has the rest.

    Only for the requested modules.
    """
    facts = Facts(checkpoint, subject.naming, subject.verdicts, numbers)
    chosen = {member for gemm in subject.plan.gemms for member in gemm.members}
    for rule in RULES.values():
        if rule.needs != "headers" or rule.blocks_verify:
            for finding in facts.findings(rule):
                if not request.modules or chosen.intersection(finding.modules):
                    yield finding


def verify(
    directory: str | os.PathLike[str],
    *,
    device: str | None = None,
    runtimes: Sequence[str] = (),
    modules: Sequence[str] = (),
    sample: int | None = 1,
    tokens: int = 16,
    backend: str = "auto",
    source: str | os.PathLike[str] | None = None,
    prefetch: int = 10**9,
    listener: Listener = SILENT,
) -> VerifyReport:
    """Read the weights of a checkpoint and run its quantized GEMMs, in this process alone.

    Args:
        directory: a local directory, because the weights are read.
        device: `cpu`, `cuda`, `cuda:1`; by default CUDA if available, otherwise the CPU.
        runtimes: modules are joined as the first of these releases joins them.
        modules: globs over module names; all modules without any.
        sample: GEMMs of every algorithm, shape and role that run; None for every one.
        tokens: rows of the random input.
        backend: `auto`, `torch`, `vllm` or `flashinfer`.
        source: directory of the unquantized checkpoint that this one was made from.
        prefetch: bytes read ahead of the current module.
        listener: called while it works.

    Raises:
        CkptfixError: torch or the device is missing, a file cannot be read, nothing to verify.
    """
    request = VerifyRequest(
        device,
        targets_of(runtimes),
        tuple(modules),
        sample,
        tokens,
        backend,
        None if source is None else os.fspath(source),
        prefetch,
    )
    report = verify_directory(os.fspath(directory), request, listener, distributed=False)
    if report is None:  # cannot happen in a single process
        raise CkptfixError("the report is on another rank")
    return report
