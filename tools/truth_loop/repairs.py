"""Carry out every repair that `check` announces, and let the release judge what came of it.

A repair is announced where `check` advises a rewrite and says that the release loads the checkpoint
after it. It is kept if the real loader takes every tensor, and builds each module quantized exactly
where it is stored so.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import ckptfix
from ckptfix.operations.checked import Advised
from ckptfix.runtimes.releases import specs_of
from truth_loop.answers import RELEASES, Answered
from truth_loop.case import CONFIG, HF_QUANT, Case
from truth_loop.comparison import Comparison
from truth_loop.judges import Judge, built_by, home_of, judge, unwritten_by
from truth_loop.stricter import Judged

_UNQUANTIZED: Final = "unquantized"
_OTHER_CLASS: Final = "other quant method"
"""How the recorder begins a reason that only concerns classes and what they are for."""


@dataclass(frozen=True)
class Repair:
    """A checkpoint after a rewrite that was announced for a release."""

    case: Case
    """The repaired checkpoint; its id has a hash of its metadata, as a later ckptfix may write
    other ones."""
    release: str
    loaded_before: bool
    """`check` says yes without the repair too: it only removes a finding."""
    quantized: Mapping[str, bool]
    """Name of a module in the release -> whether it is stored quantized."""


def untouched(fixtures: Path) -> Iterator[Case]:
    """Every checkpoint of a folder as a case that changes nothing."""
    for path in sorted(p for p in fixtures.iterdir() if (p / CONFIG).exists()):
        hf_quant = path / HF_QUANT
        yield Case(
            f"exports-{path.name}",
            path.name,
            ("untouched",),
            (path / CONFIG).read_text(),
            hf_quant.read_text() if hf_quant.exists() else None,
        )


def announced(cases: Iterable[Case], *, processes: int = 2) -> list[Repair]:
    """What `check` announces for each case and release, carried out.

    Renamed tensors are left out: the cases differ from their fixtures in metadata only.
    """
    with ProcessPoolExecutor(processes) as executor:
        return [repair for found in executor.map(_announced, cases) for repair in found]


def _announced(case: Case) -> list[Repair]:
    home = home_of(case.origin)
    with TemporaryDirectory() as folder:
        directory = case.write(home, Path(folder) / "broken")
        found = []
        for release in RELEASES:
            checked = ckptfix.check(directory, runtimes=[release])
            advised = checked.advised
            if advised is None or advised.request.tensors:
                continue
            if [answer.loads for answer in advised.then] == ["yes"]:
                repaired = Path(folder) / release
                call = _carry_out(advised, directory, repaired)
                was = checked.runtimes[0].loads == "yes"
                found.append(_repair(case, call, repaired, release, loaded_before=was))
        return found


def _carry_out(advised: Advised, directory: Path, repaired: Path) -> str:
    request = advised.request
    targets = specs_of(request.targets)
    ckptfix.rewrite(directory, runtimes=targets, from_tensors=request.from_tensors, output=repaired)
    return f"rewrite({advised.arguments})"


def _repair(case: Case, call: str, repaired: Path, release: str, *, loaded_before: bool) -> Repair:
    texts = {path.name: path.read_text() for path in sorted(repaired.glob("*.json"))}
    untouched_ = home_of(case.origin) / case.origin
    new = replace(
        case,
        how=(*case.how, call),
        config=texts.get(CONFIG),
        hf_quant=texts.get(HF_QUANT),
        files={
            name: text
            for name, text in texts.items()
            if name not in (CONFIG, HF_QUANT) and _text(untouched_ / name) != text
        },
    )
    written = hashlib.sha256(repr((new.config, new.hf_quant, new.files)).encode()).hexdigest()
    id_ = f"{case.id}-repaired-{release.partition('=')[0]}-{written[:8]}"
    (verdict,) = ckptfix.check(repaired, runtimes=[release]).verdicts
    quantized = {module.name: module.stored != _UNQUANTIZED for module in verdict.modules}
    return Repair(replace(new, id=id_), release, loaded_before, quantized)


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def judged(
    repairs: Sequence[Repair], work: Path, *, judges: Sequence[Judge]
) -> Iterator[Comparison]:
    """Each repair against what its release did with it.

    Args:
        repairs: with the releases that they are for.
        work: where checkpoints and results are kept.
        judges: the releases that are asked.

    Raises:
        JudgeError: a judge failed.
    """
    for runtime in judges:
        those = [repair for repair in repairs if repair.release == runtime.release]
        folder = work / "repaired"
        written = [(repair.case, folder / repair.case.id) for repair in those]
        for case, path in written:
            if not path.exists():
                case.write(home_of(case.origin), path)
        name = "repaired"
        loads = judge(written, work, name=name, runtime=runtime)
        built = built_by(work, name=name, runtime=runtime)
        before = built_by(work, name="fixtures", runtime=runtime)
        unwritten = unwritten_by(work, name=name, runtime=runtime)
        for repair in those:
            if repair.case.id in loads:
                was, now = before[repair.case.origin], built[repair.case.id]
                did = by_itself(loads[repair.case.id], unwritten[repair.case.id])
                did = with_modules(did, was, now, repair.quantized)
                yield Comparison(repair.case, runtime.release, did, Answered("yes", ()))


def by_itself(judged_: Judged, unwritten: Sequence[str]) -> Judged:
    """A verdict without a look at the untouched export, which may lack the same weights.

    Args:
        judged_: what the recorder says.
        unwritten: weights that nothing was written to after the repair.
    """
    if judged_.loads is None and unwritten and not judged_.is_of_stubs:
        return Judged(False, (f"never: {len(unwritten)}, {unwritten[0]}",))
    return judged_


def with_modules(
    judged_: Judged,
    before: Mapping[str, str],
    built: Mapping[str, str],
    quantized: Mapping[str, bool],
) -> Judged:
    """A verdict that also holds every module against how it is stored.

    One that is open because the untouched export fails is a yes here: a repair has to load by
    itself. Nor does it have to be read by the same class, as one made from the tensors may be in
    metadata of another quantizer.

    Args:
        judged_: what the recorder says.
        before: module -> its class in the untouched export.
        built: the same after the repair.
        quantized: name of a module in the release -> whether it is stored quantized.
    """
    is_open = judged_.loads is None and judged_.is_of_stubs
    by_another_class = before != built and all(w.startswith(_OTHER_CLASS) for w in judged_.why)
    if is_open or (judged_.loads is False and not by_another_class):
        return judged_
    wrong = [
        f"{name} is built with {built[at]} and stored {'' if stored else 'un'}quantized"
        for name, stored in quantized.items()
        for at in (name, f"{name}.routed_experts")
        if at in built and built[at].startswith("Unquantized") == stored
    ]
    return Judged(False, (f"{len(wrong)} modules, {wrong[0]}",)) if wrong else Judged(True, ())


def summary(repairs: Sequence[Repair], compared: Sequence[Comparison]) -> str:
    """How many repairs each release was given, and how many of them it loads."""
    rows = []
    for release in dict.fromkeys(repair.release for repair in repairs):
        those = [repair for repair in repairs if repair.release == release]
        mine = [each for each in compared if each.release == release]
        loading = sum(each.judged.loads is True for each in mine)
        is_open = sum(each.judged.loads is None for each in mine)
        needed = sum(not repair.loaded_before for repair in those)
        rows.append(
            f"{release:16} {len(those)} repairs announced, {needed} of what does not load without; "
            f"{loading} load, {is_open} are open"
        )
    return "\n".join(rows)
