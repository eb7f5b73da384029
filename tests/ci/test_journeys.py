"""Three users, each in the words of a page of the documentation, with the wheel alone."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfix.operations.loading import load
from tests.builders import Shapes, safetensors_bytes
from tests.ci import test_package
from tests.conftest import DATA

built, installed = test_package.built, test_package.installed
DOCS = Path(__file__).parents[2] / "docs"
Step = Callable[..., str]


@pytest.fixture
def step(installed: Path, tmp_path: Path) -> Step:
    """Type a line of a page, with the reader's names for its placeholders."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CKPTFIX"))}
    environment["PATH"] = f"{installed.parent}{os.pathsep}{environment['PATH']}"

    def step_(page: str, line: str, code: int = 0, **names: str) -> str:
        assert line in (DOCS / f"{page}.md").read_text(encoding="utf-8"), f"{page} says otherwise"
        for placeholder, name in names.items():
            line = line.replace(placeholder, name)
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return step_


def bytes_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_someone_who_must_serve_today(step: Step, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(DATA / "nanovl-mixed", tmp_path / "nano-vl"))
    before = bytes_of(directory)
    shown = step("serve", "ckptfix check nano-vl --runtime vllm==0.17.1", code=1)
    advised = "ckptfix rewrite nano-vl --runtime vllm==0.17.1"
    assert advised in shown
    step("serve", "ckptfix rewrite DIR --dry-run > fix.patch", DIR="nano-vl")
    assert (tmp_path / "fix.patch").read_text().startswith("--- a/config.json\n")
    assert bytes_of(directory) == before
    step("serve", "ckptfix rewrite DIR --output REPAIRED", DIR="nano-vl", REPAIRED="repaired")
    assert bytes_of(directory) == before
    step("serve", advised)
    shown = step("serve", "ckptfix check nano-vl --runtime vllm==0.17.1")
    assert "vllm serve nano-vl" in shown
    assert shown.endswith("nano-vl: clean\n")
    step("serve", "ckptfix rewrite DIR --undo", DIR="nano-vl")
    assert bytes_of(directory) == before


def unquantized(directory: Path) -> Shapes:
    """The tensors that a checkpoint was made from, as its own tensors show them."""
    checkpoint = load(str(directory))
    made: Shapes = {}
    for name, module in checkpoint.modules.items():
        shape = checkpoint.formats[name].logical_shape
        if checkpoint.formats[name].is_quantized:
            made[f"{name}.weight"] = ("BF16", shape)
            continue
        for role, tensor in module.tensors.items():
            made[module.tensor_names[role]] = (tensor.dtype, tensor.shape)
    return made


def test_someone_who_publishes(step: Step, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(DATA / "nanovl-mixed", tmp_path / "made"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(safetensors_bytes(unquantized(directory)))
    step("publish", "ckptfix rewrite DIR", DIR="made")
    shown = step("publish", "ckptfix compare DIR BF16_DIR", BF16_DIR="source", DIR="made")
    assert shown.endswith("made: every tensor of the source is present\n")
    assert (directory / ".ckptfix").is_dir()
    step("publish", "ckptfix rewrite DIR --forget", DIR="made")
    assert not (directory / ".ckptfix").exists()


def test_someone_with_a_fleet(step: Step, tmp_path: Path) -> None:
    for name, fixture in (("nano-vl", "nanovl-mixed"), ("clean", "llama-fp8-kv8")):
        shutil.copytree(DATA / fixture, tmp_path / name)
    (tmp_path / "repos.txt").write_text("nano-vl  # a comment\nclean\n")
    table = "ckptfix check --from-file repos.txt --runtime vllm==0.28.0 --jobs 8"
    rows = [row.split() for row in step("hub", table).splitlines()[1:3]]
    assert rows == [["nano-vl", "yes", "clean"], ["clean", "yes", "clean"]]
    lines = step("hub", "ckptfix check --from-file repos.txt --json", code=1).splitlines()
    answers = {r["checkpoint"]: r["clean"] for x in lines for r in json.loads(x)["checkpoints"]}
    assert answers == {"nano-vl": False, "clean": True}
    (tmp_path / "models" / "adapter").mkdir(parents=True)
    (tmp_path / "models" / "adapter" / "adapter_config.json").write_text("{}")
    shutil.move(tmp_path / "clean", tmp_path / "models" / "clean")
    page = "ckptfix check models --skip-unsupported --format html --output-file fleet.html"
    step("hub", page)
    text = (tmp_path / "fleet.html").read_text(encoding="utf-8")
    assert "2 checkpoints: 1 clean, 1 skipped" in text
