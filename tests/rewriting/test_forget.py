"""The folder of ckptfix stays out of Git, uploads and outputs, and `--forget` removes it."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from tests.conftest import CopyOf, Run, files_but_the_backup, files_of
from tests.rewriting.killing import killed_at
from tests.rewriting.locking import locked_elsewhere
from tests.rewriting.test_apply import interrupt

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rewritten(copy_of: CopyOf, run: Run) -> Path:
    directory = copy_of("nanovl-mixed")
    assert run("rewrite", directory).returncode == 0
    return directory


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    done = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout


def test_git_does_not_see_it(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "as exported")
    assert run("rewrite", directory).returncode == 0
    assert (directory / ".ckptfix" / "undo.json").is_file()
    git(directory, "add", "--all")
    assert git(directory, "status", "--porcelain").split() == [
        *("M", "config.json", "M", "hf_quant_config.json")
    ]
    assert run("rewrite", directory, "--undo").returncode == 0
    assert set(os.listdir(directory)) == set(git(directory, "ls-files").split()) | {".git"}


def test_a_folder_of_an_earlier_release_is_hidden_by_the_next_rewrite(
    rewritten: Path, run: Run
) -> None:
    (rewritten / ".ckptfix" / ".gitignore").unlink()
    back = ("--map", "language_model.model=language_model.backbone")
    assert run("rewrite", rewritten, *back).returncode == 0
    assert (rewritten / ".ckptfix" / ".gitignore").read_text() == "*\n"
    assert run("rewrite", rewritten, "--undo").returncode == 0
    assert not (rewritten / ".ckptfix").exists()


@pytest.mark.parametrize("page", ["docs/rewrite.md", "docs/hub.md"])
def test_the_advice_on_uploads_leaves_it_out(rewritten: Path, page: str) -> None:
    assert "hf upload ORG/NAME DIR --exclude '.ckptfix/*'" in (ROOT / page).read_text()
    names = list(files_of(rewritten))
    assert any(name.startswith(".ckptfix/") for name in names)
    sent = list(filter_repo_objects(names, ignore_patterns=[".ckptfix/*"]))
    assert sent == list(files_but_the_backup(rewritten))


def test_the_advice_for_a_pull_request_from_a_directory(rewritten: Path, run: Run) -> None:
    done = run("rewrite", rewritten, "--create-pr")
    assert done.returncode == 2
    assert "hf upload ORG/NAME DIR --exclude '.ckptfix/*' --create-pr" in done.stderr


def test_an_output_does_not_have_it_at_any_depth(rewritten: Path, run: Run, tmp_path: Path) -> None:
    inside = shutil.copytree(rewritten, rewritten / "text_encoder")
    assert (inside / ".ckptfix").is_dir()
    (rewritten / ".config.json.ckptfix-tmp").write_text("half of")
    assert run("rewrite", rewritten, "--output", tmp_path / "out").returncode == 0
    assert not [name for name in files_of(tmp_path / "out") if "ckptfix" in name]
    assert (tmp_path / "out" / "text_encoder" / "config.json").is_file()


def test_it_is_removed_and_the_user_is_reported(rewritten: Path, run: Run) -> None:
    before = files_but_the_backup(rewritten)
    kept = [path for path in (rewritten / ".ckptfix").iterdir() if path.name != "lock"]
    done = run("rewrite", rewritten, "--forget")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith(f"deleted the .ckptfix backup of {rewritten}: {len(kept) - 1} files, ")
    assert second == "the rewrite of config.json, hf_quant_config.json can no longer be undone"
    assert files_of(rewritten) == before
    assert not (rewritten / ".ckptfix").exists()
    assert "nothing to undo" in run("rewrite", rewritten, "--undo").stderr
    again = run("rewrite", rewritten, "--forget")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"{rewritten}: nothing to delete: there is no .ckptfix backup here\n"


def test_kept_headers_and_what_a_killed_run_left_go_too(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nemotronh-moe-super-nulbug")
    assert run("rewrite", directory, "--tensors").returncode == 0
    (directory / ".model.safetensors.ckptfix-tmp").write_text("half of")
    before = files_but_the_backup(directory)
    before.pop(".model.safetensors.ckptfix-tmp")
    done = run("rewrite", directory, "--forget")
    assert done.returncode == 0
    assert "model.safetensors can no longer be undone" in done.stdout
    assert files_of(directory) == before


def test_an_interrupted_rewrite_is_not_forgotten(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_of(directory)
    interrupt(directory)
    before = files_of(directory)
    done = run("rewrite", directory, "--forget")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a rewrite was interrupted" in done.stderr
    assert f"ckptfix rewrite {directory} --undo to roll it back" in done.stderr
    assert files_of(directory) == before
    assert run("rewrite", directory, "--undo").returncode == 0
    assert files_of(directory) == old


def test_another_ckptfix_keeps_it(rewritten: Path, run: Run) -> None:
    with locked_elsewhere(rewritten):
        before = files_of(rewritten)
        done = run("rewrite", rewritten, "--forget")
        assert done.returncode == 2
        assert "another ckptfix is rewriting" in done.stderr
        assert files_of(rewritten) == before


def test_only_files_of_ours_go_and_no_link_is_followed(
    rewritten: Path, run: Run, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    folder = rewritten / ".ckptfix"
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    (folder / "more" / "file").write_text("mine")
    (folder / ("0" * 64)).symlink_to(precious / "file")
    (folder / ("1" * 64)).symlink_to(precious)
    done = run("rewrite", rewritten, "--forget")
    assert done.returncode == 0
    left = f"{'0' * 64}, {'1' * 64}, more, notes.txt"
    assert done.stdout.endswith(f"left in place, not created by ckptfix: {left}\n")
    assert set(os.listdir(folder)) == set(left.split(", "))
    assert (precious / "file").read_text() == "keep me"
    assert (folder / "more" / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [".ckptfix", "undo.json", "lock", ".gitignore"])
def test_a_link_in_place_of_ours_is_left_alone(
    copy_of: CopyOf, run: Run, tmp_path: Path, name: str
) -> None:
    directory = copy_of("nanovl-mixed")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "undo.json").write_text("keep me")
    (precious / "notes").write_text("keep me")
    if name == ".ckptfix":
        (directory / name).symlink_to(precious)
    else:
        (directory / ".ckptfix").mkdir()
        (directory / ".ckptfix" / name).symlink_to(precious / "notes")
    before = files_of(precious)
    for option in ("--forget", "--undo"):
        assert "Traceback" not in run("rewrite", directory, option).stderr
    assert files_of(precious) == before


@pytest.mark.parametrize(
    "options",
    [
        ["--dry-run"],
        ["--from-tensors"],
        ["--tensors"],
        ["--output", "x"],
        ["--map", "a=b"],
        ["--mapper", "x"],
        ["--runtime", "vllm"],
        ["--strategy", "alias"],
        ["--verify"],
        ["--create-pr"],
    ],
    ids=" ".join,
)
def test_other_options_contradict_it(rewritten: Path, run: Run, options: list[str]) -> None:
    before = files_of(rewritten)
    done = run("rewrite", rewritten, "--forget", *options)
    assert (done.returncode, done.stderr) == (2, "error: --forget takes no other option\n")
    done = run("rewrite", rewritten, "--forget", "--undo")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --undo cannot be used with --forget\n",
    )
    assert files_of(rewritten) == before


def test_killed_at_every_step_all_can_be_undone_or_nothing(
    copy_of: CopyOf, run: Run, tmp_path: Path
) -> None:
    directory = copy_of("nanovl-mixed")
    old = files_of(directory)
    assert run("rewrite", directory).returncode == 0
    start = shutil.copytree(directory, tmp_path / "start")
    new = files_but_the_backup(directory)
    seen = set()
    for step in range(1, 100):
        shutil.rmtree(directory)
        shutil.copytree(start, directory)
        code = killed_at(step, "rewrite", directory, "--forget")
        assert files_but_the_backup(directory) == new
        if code == 0:
            break
        assert code == -signal.SIGKILL
        twin = shutil.copytree(directory, tmp_path / f"twin{step}")
        undone = killed_at(0, "rewrite", twin, "--undo")
        seen.add(undone)
        assert (undone, files_of(twin)) in ((0, old), (2, new))
        assert killed_at(0, "rewrite", directory, "--forget") == 0
        assert files_of(directory) == new
    else:
        pytest.fail("the command takes more steps than the test has")
    assert seen == {0, 2}
