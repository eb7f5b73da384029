"""A fault at any call leaves old bytes, new bytes, or a journal that knows; and it is reported.

By default every thirteenth call fails once, in turn with another error; FAULTS=all (`make faults`)
lets every call fail in every way. Either way the matrix of what was tried stands in the terminal
summary.
"""

import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faulty import FAULTS, run_with_fault
from tests.fuzz.targets import GOOD

STRIDE = 13
ALL = os.environ.get("FAULTS") == "all"
MAP = ("--map", "language_model.backbone=language_model.model")
"""Rules of the user's own: no release is judged, so that thousands of runs take minutes."""
LONGER = ("--map", "language_model.backbone=language_model.a_trunk_with_a_longer_name")
WAYS: dict[str, tuple[str, ...]] = {
    "rewrite": MAP,
    "rewrite --tensors, in place": (*MAP, "--tensors"),
    "rewrite --tensors, copied": (*LONGER, "--tensors"),
}
TRIED: Counter[tuple[str, str, str]] = Counter()
"""(command, call, fault) -> how often it was tried, and held."""


def state(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and modes of all but the folder of ckptfix."""
    return {
        path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in directory.iterdir()
        if path.name != ".ckptfix"
    }


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """In memory where that can be: thousands of runs wait for the disk at every fsync."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def places(folder: Path) -> dict[str, Path]:
    """The same checkpoint before all rewrites, and after each."""
    old = folder / "old"
    old.mkdir()
    for name, data in GOOD.items():
        (old / name).write_bytes(data)
    (old / "config.json").chmod(0o640)
    made = {"old": old}
    for number, (way, options) in enumerate(WAYS.items()):
        made[way] = folder / f"new{number}"
        shutil.copytree(old, made[way])
        assert run_with_fault(folder / "log", 0, "", "rewrite", made[way], *options).code == 0
        changed = {name for name, held in state(made[way]).items() if held != state(old)[name]}
        assert ("model.safetensors" in changed) == ("--tensors" in options)
    return made


def steps(start: int = 1) -> Iterator[tuple[int, str]]:
    for step in range(start, 400, 1 if ALL else STRIDE):
        for fault in FAULTS if ALL else [FAULTS[step // STRIDE % len(FAULTS)]]:
            yield step, fault


@pytest.mark.parametrize("undoes", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_no_file_is_torn_none_is_lost_and_the_user_is_reported(
    folder: Path, places: dict[str, Path], way: str, undoes: bool
) -> None:
    old, new = state(places["old"]), state(places[way])
    start, goal = (places[way], old) if undoes else (places["old"], new)
    options = ("--undo",) if undoes else WAYS[way]
    command = f"undo of {way}" if undoes else way
    directory, log = folder / "c", folder / "log"
    interrupted = 0
    for step, fault in steps():
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(start, directory)
        ended = run_with_fault(log, step, fault, "rewrite", directory, *options)
        if not ended.call:
            break
        case = f"{ended.call} number {step} of {command} with {fault}: {ended}"
        now = {name: held for name, held in state(directory).items() if "-tmp" not in name}
        assert set(now) == set(old), case
        assert all(now[name] in (old[name], new[name]) for name in now), case
        journal = (directory / ".ckptfix" / "journal.json").exists()
        interrupted += journal
        if ended.code >= 0:
            assert ended.code in (0, 2), case
            assert "Traceback" not in ended.message, case
            is_reported_as(ended.message, ended.code, journal, now == goal, undoes, case)
            if now == old and not journal and ended.call != "flock":
                assert not (directory / ".ckptfix").exists() or "remove it" in ended.message, case
        if not journal:
            assert now in (old, new), case
        can_end_either_way(directory, log, old, new, WAYS[way], case)
        TRIED[command, ended.call, fault] += 1
    else:
        pytest.fail("the command makes more calls than the test has")
    assert interrupted > 0


def is_reported_as(
    message: str, code: int, journal: bool, done: bool, undoes: bool, case: str
) -> None:
    """The sentence says what the directory holds."""
    if code == 0:
        assert done, case
        assert not journal, case
    elif journal:
        assert "was interrupted" in message, case
        assert ("--undo to complete it" if undoes else "--undo to roll it back") in message, case
    elif "is done, but" in message:
        assert done, case
    else:
        assert not done, case
        assert "nothing was changed" in message, case
        assert ("--undo again" if undoes else "--output DIR") in message, case


def can_end_either_way(
    directory: Path,
    log: Path,
    old: dict[str, tuple[bytes, int]],
    new: dict[str, tuple[bytes, int]],
    options: tuple[str, ...],
    case: str,
) -> None:
    """The next rewrite completes it; the next undo brings the originals back, with nothing left."""
    twin = directory.with_name("twin")
    shutil.rmtree(twin, ignore_errors=True)
    shutil.copytree(directory, twin)
    assert run_with_fault(log, 0, "", "rewrite", directory, *options).code == 0, case
    assert state(directory) == new, case
    for place in (directory, twin):
        ended = run_with_fault(log, 0, "", "rewrite", place, "--undo")
        assert ended.code == 0 or "nothing to undo" in ended.message, case
        left = state(place)
        assert left == old, case
        assert not (place / ".ckptfix").exists(), case


def test_what_is_forgotten_in_part_is_forgotten_by_the_next_run(
    folder: Path, places: dict[str, Path]
) -> None:
    start, directory, log = places["rewrite"], folder / "c", folder / "log"
    for step, fault in steps():
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(start, directory)
        ended = run_with_fault(log, step, fault, "rewrite", directory, "--forget")
        if not ended.call:
            break
        case = f"{ended.call} number {step} of --forget with {fault}: {ended}"
        assert state(directory) == state(start), case
        assert ended.code in (0, 2, -9), case
        if ended.code == 2:
            assert ended.message.startswith("error: "), case
            assert "cannot be removed: " in ended.message, case
        assert run_with_fault(log, 0, "", "rewrite", directory, "--forget").code == 0, case
        assert state(directory) == state(start), case
        assert not (directory / ".ckptfix").exists(), case
        TRIED["--forget", ended.call, fault] += 1
    else:
        pytest.fail("the command makes more calls than the test has")


def test_an_output_directory_appears_whole_or_not_at_all(
    folder: Path, places: dict[str, Path]
) -> None:
    source, output = places["old"], folder / "out"
    before, log = state(source), folder / "log"
    for step, fault in steps():
        shutil.rmtree(output, ignore_errors=True)
        ended = run_with_fault(log, step, fault, "rewrite", source, "--output", output, *MAP)
        if not ended.call:
            break
        case = f"{ended.call} number {step} of --output with {fault}: {ended}"
        assert state(source) == before, case
        if ended.code == 0:
            whole = {name: data for name, (data, _) in state(output).items()}
            assert whole == {n: d for n, (d, _) in state(places["rewrite"]).items()}, case
        else:
            assert ended.code in (2, -9), case
            assert ended.code == -9 or "cannot write" in ended.message, case
            assert not output.exists() or set(state(output)) == set(before), case
        TRIED["--output", ended.call, fault] += 1
    else:
        pytest.fail("the command makes more calls than the test has")
