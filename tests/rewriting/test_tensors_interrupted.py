"""Shard files are whole or known not to be: killed, torn, edited in between, without room."""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError
from ckptfix.rewriting.apply import apply_changes, recover, undo
from ckptfix.rewriting.store import interrupted
from ckptfix.rewriting.tensors.plan import plan_names_of_tensors
from ckptfix.rewriting.tensors.written import read_written
from ckptfix.runtimes.name_maps import own_name_map
from tests.builders import Shapes, bf16, fp8, mixed, safetensors_bytes, write_checkpoint
from tests.conftest import Call, files_of, load
from tests.rewriting.killing import call_killed_at

SHARD = "model.safetensors"
SHORTER = "model.layers=model.tiers"
LONGER = "model.layers=model.some_layers"


def sharded(directory: Path) -> Path:
    """Two shard files and an index; only the first has layers, and data of several blocks."""
    first: Shapes = {**fp8("model.layers.0.mlp.up_proj"), **bf16("model.layers.0.norm", 5_000)}
    second = bf16("lm_head", 64, 64)
    write_checkpoint(directory, first, mixed({"model.layers.0.mlp.up_proj": "FP8"}))
    (directory / SHARD).rename(directory / "a.safetensors")
    (directory / "b.safetensors").write_bytes(safetensors_bytes(second))
    files = {**dict.fromkeys(first, "a.safetensors"), **dict.fromkeys(second, "b.safetensors")}
    lines = ",\n".join(f'  "{name}" :"{file}"' for name, file in files.items())
    text = f'{{"metadata":{{}},\n "weight_map": {{\n{lines} }} }}'
    (directory / "model.safetensors.index.json").write_text(text)
    return directory


def rename(directory: Path, option: str) -> None:
    source = DirectorySource.open(str(directory))
    plan = plan_names_of_tensors(load(directory), own_name_map((option,), None))
    assert plan.refusals == ()
    changes = read_written(source, plan, elsewhere=False).changes
    files = (*plan.followed.files, *changes.json_files)
    apply_changes(source, files, changes.shards)


def complete(directory: Path) -> None:
    recover(DirectorySource.open(str(directory)))


def take_back(directory: Path) -> None:
    undo(DirectorySource.open(str(directory)))


def checkpoint_in(directory: Path) -> dict[str, bytes]:
    found = files_of(directory)
    return {n: d for n, d in found.items() if not n.startswith(".ckptfix/") and "-tmp" not in n}


@pytest.mark.parametrize(
    ("option", "linked"), [(SHORTER, False), (LONGER, True)], ids=["in place", "copied"]
)
@pytest.mark.parametrize("command", [rename, take_back])
def test_killed_at_every_step_a_shard_is_old_or_new_and_both_ways_lead_out(
    tmp_path: Path, command: Callable[..., None], option: str, linked: bool
) -> None:
    fresh, done = sharded(tmp_path / "fresh"), sharded(tmp_path / "done")
    rename(done, option)
    old, new = checkpoint_in(fresh), checkpoint_in(done)
    changed = {"a.safetensors", "config.json", "model.safetensors.index.json"}
    assert {name for name in old if old[name] != new[name]} == changed
    start, arguments = (fresh, [option]) if command is rename else (done, [])
    between = 0
    for step in range(1, 300):
        directory = tmp_path / str(step)
        shutil.copytree(start, directory)
        if linked:
            os.link(directory / "a.safetensors", tmp_path / f"{step}.other")
        code = call_killed_at(step, partial(command, directory, *arguments))
        now = checkpoint_in(directory)
        assert all(now[name] in (old[name], new[name]) for name in old)
        if linked:
            other = tmp_path / f"{step}.other"
            assert other.read_bytes() == (start / "a.safetensors").read_bytes()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if not interrupted(directory):
            assert now in (old, new)
        else:
            between += 1
            completed = tmp_path / f"{step}-completed"
            shutil.copytree(directory, completed)
            complete(completed)
            assert checkpoint_in(completed) in (old, new)
        with suppress(CkptfixError):  # there may be nothing to take back
            take_back(directory)
        assert files_of(directory) == old
    else:
        pytest.fail("the command takes more steps than the test has")
    assert between > 5


def interrupt(directory: Path, option: str) -> None:
    """Leave a journal, and the shard as it was."""
    for step in range(1, 300):
        call_killed_at(step, lambda: rename(directory, option))
        if interrupted(directory):
            return
    pytest.fail("never interrupted")


@pytest.mark.parametrize("leave", [complete, take_back])
@pytest.mark.parametrize("cut", [9, 40, 200])
def test_a_header_torn_by_a_power_failure_is_made_whole(
    tmp_path: Path, leave: Callable[[Path], None], cut: int
) -> None:
    fresh, done = sharded(tmp_path / "fresh"), sharded(tmp_path / "done")
    old = files_of(fresh)
    rename(done, SHORTER)
    new = checkpoint_in(done)
    interrupt(fresh, SHORTER)
    shard = "a.safetensors"
    (fresh / shard).write_bytes(old[shard][:cut] + new[shard][cut:])
    leave(fresh)
    assert checkpoint_in(fresh) == (new if leave is complete else old)


@pytest.mark.parametrize("arguments", [["check"], ["rewrite", "--tensors", "--dry-run"]])
def test_an_interrupted_rename_is_reported_and_the_next_rewrite_completes_it(
    tmp_path: Path, call: Call, arguments: list[str]
) -> None:
    directory = sharded(tmp_path / "c")
    interrupt(directory, SHORTER)
    stopped = call(*arguments, directory)
    assert stopped.returncode == 2
    assert "a rewrite was interrupted" in stopped.stderr
    completed = call("rewrite", directory)
    assert "completed an interrupted rewrite of" in completed.stderr
    assert "a.safetensors" in completed.stderr
    assert b"model.tiers.0" in (directory / "a.safetensors").read_bytes()[:400]


def test_a_journal_may_name_shard_files_of_the_checkpoint_only(tmp_path: Path) -> None:
    directory = sharded(tmp_path / "c")
    interrupt(directory, SHORTER)
    journal = directory / ".ckptfix" / "journal.json"
    honest = journal.read_text()
    outside, other = "lists a file outside the checkpoint", "lists a file that a rewrite never"
    for name, message in {
        "../a.safetensors": outside,
        "/etc/passwd": outside,
        "weights.bin": other,
        "config.json": other,
    }.items():
        journal.write_text(honest.replace('"a.safetensors"', f'"{name}"'))
        for leave in (complete, take_back):
            with pytest.raises(CkptfixError, match=message):
                leave(directory)


def test_undo_after_two_renames_restores_the_first_names(tmp_path: Path) -> None:
    directory = sharded(tmp_path / "c")
    os.utime(directory / "a.safetensors", ns=(5, 5))
    old = files_of(directory)
    rename(directory, SHORTER)
    rename(directory, "model.tiers=model.some_more_layers")
    rename(directory, "lm_head=the_head_of_a_language_model")
    take_back(directory)
    assert files_of(directory) == old
    assert (directory / "a.safetensors").stat().st_mtime_ns == 5


def test_undo_refuses_a_shard_with_another_header(tmp_path: Path) -> None:
    directory = sharded(tmp_path / "c")
    rename(directory, SHORTER)
    shard = directory / "a.safetensors"
    shard.write_bytes(shard.read_bytes().replace(b"model.tiers", b"model.decks"))
    edited = files_of(directory)
    with pytest.raises(CkptfixError, match="was edited after the rewrite; nothing was restored"):
        take_back(directory)
    assert files_of(directory) == edited


def test_an_interrupted_rename_is_not_completed_over_an_edited_shard(tmp_path: Path) -> None:
    directory = sharded(tmp_path / "c")
    interrupt(directory, SHORTER)
    shard = directory / "a.safetensors"
    shard.write_bytes(shard.read_bytes() + b"more")
    edited = files_of(directory)
    for leave in (complete, take_back):
        with pytest.raises(CkptfixError, match="edited after the rewrite was interrupted"):
            leave(directory)
    assert files_of(directory) == edited


def test_a_copy_for_which_there_is_no_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = sharded(tmp_path / "c")
    before = files_of(directory)
    full = SimpleNamespace(f_bavail=1, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(CkptfixError, match=r"0\.0 GB are free"):
        rename(directory, LONGER)
    assert files_of(directory) == before
    rename(directory, SHORTER)


def test_the_data_is_copied_even_without_the_kernels_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helped, alone = sharded(tmp_path / "helped"), sharded(tmp_path / "alone")
    rename(helped, LONGER)

    def refuses(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuses)
    rename(alone, LONGER)
    assert checkpoint_in(alone) == checkpoint_in(helped)


def test_a_read_only_shard_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = sharded(tmp_path / "c")
    shard = directory / "a.safetensors"
    shard.chmod(0o444)
    inode = shard.stat().st_ino
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    rename(directory, SHORTER)
    assert shard.stat().st_ino != inode
    assert shard.stat().st_mode & 0o777 == 0o444
    take_back(directory)
    assert shard.stat().st_mode & 0o777 == 0o444
