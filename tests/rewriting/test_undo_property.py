"""For every input, a rewrite followed by `--undo` gives the same tree: bytes, modes, symlinks."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfix
from ckptfix import CkptfixError
from tests.conftest import DATA

PREFIXES = {
    "recipe-nano4b-nvfp4_w4a16": ["backbone", "backbone.embedding", "backbone.layers.0", "lm_head"],
    "nanovl-mixed": ["language_model.backbone", "vision_model", "mlp1", "language_model.lm_head"],
    "nanovl-mixed-sharded-split": ["language_model.backbone", "language_model", "vision_model"],
}
Tree = dict[str, tuple[int, str | bytes]]


def tree(directory: Path) -> Tree:
    """Every entry with its permission bits, and its target or content."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "",
        )
        for path in directory.rglob("*")
    }


@settings(max_examples=25)
@given(
    st.sampled_from(sorted(PREFIXES)),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 2), st.text("abé_", min_size=1, max_size=30)), max_size=2),
    st.booleans(),
    st.sampled_from([0o600, 0o644, 0o444]),
)
def test_a_rewrite_and_its_undo_leave_the_tree_as_it_was(
    name: str, tensors: bool, renames: list[tuple[int, str]], linked: bool, mode: int
) -> None:
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made) / "c"
        shutil.copytree(DATA / name, directory)
        shards = sorted(directory.glob("*.safetensors"))
        shards[0].chmod(mode)
        (directory / "config.json").chmod(mode)
        (directory / "readme").symlink_to("config.json")
        if linked:
            os.link(shards[-1], Path(made) / "other")
        before = tree(directory)
        maps = tuple(f"{PREFIXES[name][n]}={new}" for n, new in renames)
        with suppress(CkptfixError):  # such as a map that is not stable
            ckptfix.rewrite(directory, runtimes=["vllm==0.17.1"], maps=maps, tensors=tensors)
        if (directory / ".ckptfix").is_dir():
            assert ckptfix.undo(directory)
        assert tree(directory) == before
