"""Writing is safe: killed at any moment, linked, locked, edited in between."""

import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.rewriting.store import require_whole
from tests.conftest import CopyOf, Run, files_but_the_backup, files_of
from tests.rewriting.killing import killed_at
from tests.rewriting.locking import locked_elsewhere


def metadata(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("*.json")}


@pytest.mark.parametrize("command", ["rewrite", "undo"])
def test_killed_at_every_step_the_checkpoint_is_whole_or_known_not_to_be(
    copy_of: CopyOf, run: Run, command: str
) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_but_the_backup(directory)
    fresh, rewritten = directory.parent / "fresh", directory.parent / "rewritten"
    shutil.copytree(directory, fresh)
    assert run("rewrite", directory).returncode == 0
    new = files_but_the_backup(directory)
    assert old != new
    shutil.copytree(directory, rewritten)
    start, goal = (fresh, new) if command == "rewrite" else (rewritten, old)
    arguments = ["rewrite", directory, *(["--undo"] if command == "undo" else [])]
    distinguished = 0
    for step in range(1, 500):
        shutil.rmtree(directory)
        shutil.copytree(start, directory)
        code = killed_at(step, *arguments)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        now = {n: d for n, d in files_but_the_backup(directory).items() if "-tmp" not in n}
        assert set(now) == set(old)
        assert all(now[name] in (old[name], new[name]) for name in now)
        if is_interrupted(directory):
            distinguished += 1
        else:
            assert now in (old, new)
        finished = killed_at(0, *arguments)
        assert finished == 0 or (command == "undo" and finished == 2 and now == goal)
        assert files_but_the_backup(directory) == goal
    else:
        pytest.fail("the command takes more steps than the test has")
    assert distinguished > 3


def is_interrupted(directory: Path) -> bool:
    try:
        require_whole(directory)
    except CkptfixError as error:
        return "was interrupted" in str(error)
    return False


@pytest.mark.parametrize("arguments", [["check"], ["inspect"], ["rewrite", "--dry-run"]])
def test_an_interrupted_rewrite_is_not_taken_for_whole(
    copy_of: CopyOf, run: Run, arguments: list[str]
) -> None:
    directory = copy_of("nanovl-mixed")
    interrupt(directory)
    done = run(*arguments, directory)
    assert done.returncode == 2
    assert "a rewrite was interrupted" in done.stderr
    assert done.stdout == ""


def test_the_next_rewrite_completes_an_interrupted_one_and_reports_it(
    copy_of: CopyOf, run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    interrupt(directory)
    done = run("rewrite", directory)
    assert done.returncode == 0
    assert "completed an interrupted rewrite of config.json, hf_quant_config.json" in done.stderr
    assert run("check", directory, "--runtime", "vllm>=0.17").returncode == 0


def interrupt(directory: Path, *options: str) -> None:
    for step in range(1, 500):
        killed_at(step, "rewrite", directory, *options)
        if (directory / ".ckptfix" / "journal.json").exists():
            return
    pytest.fail("never interrupted")


def test_an_interrupted_undo_is_not_taken_for_a_rewrite(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_of(directory)
    assert run("rewrite", directory).returncode == 0
    interrupt(directory, "--undo")
    done = run("check", directory)
    assert done.returncode == 2
    assert "an undo was interrupted" in done.stderr
    assert done.stderr.endswith(f"run ckptfix rewrite {directory} --undo to complete it\n")
    assert run("rewrite", directory, "--undo").returncode == 0
    assert files_of(directory) == old


def test_an_interrupted_rewrite_can_be_rolled_back(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_of(directory)
    interrupt(directory)
    assert run("rewrite", directory, "--undo").returncode == 0
    assert files_of(directory) == old


def test_undo_restores_every_byte_and_leaves_nothing_behind(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_of(directory)
    run("rewrite", directory)
    assert run("rewrite", directory, "--undo").stdout.startswith(
        "restored config.json, hf_quant_config.json"
    )
    assert files_of(directory) == old
    again = run("rewrite", directory, "--undo")
    assert again.returncode == 2
    assert "nothing to undo" in again.stderr


def test_undo_after_two_rewrites_restores_the_first_original(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_of(directory)
    run("rewrite", directory)
    assert run("rewrite", directory, "--map", "language_model=lm").returncode == 1  # names nothing
    back = ("--map", "language_model.model=language_model.backbone")
    assert run("rewrite", directory, *back).returncode == 0
    assert run("rewrite", directory, "--undo").returncode == 0
    assert files_of(directory) == old


def test_undo_refuses_when_a_file_was_edited_since(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    run("rewrite", directory)
    config = directory / "config.json"
    config.write_text(config.read_text() + "\n")
    edited = files_of(directory)
    done = run("rewrite", directory, "--undo")
    assert done.returncode == 2
    assert "config.json: was edited after the rewrite; nothing was restored" in done.stderr
    assert files_of(directory) == edited


def test_file_mode_is_kept(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    (directory / "config.json").chmod(0o640)
    (directory / "hf_quant_config.json").chmod(0o444)
    assert run("rewrite", directory).returncode == 0
    assert stat.S_IMODE((directory / "config.json").stat().st_mode) == 0o640
    assert stat.S_IMODE((directory / "hf_quant_config.json").stat().st_mode) == 0o444


def test_a_hard_linked_metadata_file_keeps_its_other_name(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    other = directory.parent / "other.json"
    os.link(directory / "config.json", other)
    before = other.read_bytes()
    assert run("rewrite", directory).returncode == 0
    assert other.read_bytes() == before


def hub_cache(tmp_path: Path, source: Path) -> Path:
    blobs = tmp_path / "models--x" / "blobs"
    snapshot = tmp_path / "models--x" / "snapshots" / "0f"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(source.iterdir())):
        (blobs / f"{number:040x}").write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(f"../../blobs/{number:040x}")
    return snapshot


def test_a_hub_cache_is_never_modified(copy_of: CopyOf, run: Run, tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path, copy_of("nanovl-mixed"))
    before = files_of(tmp_path / "models--x")
    done = run("rewrite", snapshot)
    assert done.returncode == 2
    assert "Hugging Face cache" in done.stderr
    assert "--output" in done.stderr
    assert files_of(tmp_path / "models--x") == before
    assert run("check", snapshot).returncode == 1
    assert run("rewrite", snapshot, "--dry-run").returncode == 0
    assert run("rewrite", snapshot, "--output", tmp_path / "out").returncode == 0
    assert run("check", tmp_path / "out", "--runtime", "vllm>=0.17").returncode == 0
    assert files_of(tmp_path / "models--x") == before


def test_a_link_to_a_snapshot_is_no_way_around(copy_of: CopyOf, run: Run, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--x" / "snapshots" / "0f"
    shutil.copytree(copy_of("nanovl-mixed"), snapshot)  # as on a file system without links
    (tmp_path / "link").symlink_to(snapshot)
    before = files_of(snapshot)
    done = run("rewrite", tmp_path / "link")
    assert done.returncode == 2
    assert "Hugging Face cache, which ckptfix never modifies; use --output DIR" in done.stderr
    assert files_of(snapshot) == before


def test_concurrent_rewrites_are_prevented(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    (directory / ".ckptfix").mkdir()
    with locked_elsewhere(directory):
        before = metadata(directory)
        done = run("rewrite", directory)
        assert done.returncode == 2
        assert "another ckptfix is rewriting" in done.stderr
        assert metadata(directory) == before
    assert run("rewrite", directory).returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("journal.json", b"{", "journal.json cannot be read"),
        (
            "journal.json",
            b'{"version":1,"files":[{"file":"../x","before":"","after":"","original":"","mode":1}]}',
            "lists a file outside",
        ),
    ],
)
def test_a_damaged_journal_is_reported(
    copy_of: CopyOf, run: Run, name: str, content: bytes, message: str
) -> None:
    directory = copy_of("nanovl-mixed")
    (directory / ".ckptfix").mkdir()
    (directory / ".ckptfix" / name).write_bytes(content)
    before = metadata(directory)
    for arguments in (["rewrite", directory], ["rewrite", directory, "--undo"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert metadata(directory) == before
