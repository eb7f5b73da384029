"""`rewrite --output`: a full checkpoint, the source left alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.rewriting import output as output_module
from ckptfix.rewriting.output import make_output
from tests.conftest import CopyOf, Run, files_of


def test_the_source_is_left_alone_and_weights_are_hard_links(copy_of: CopyOf, run: Run) -> None:
    source = copy_of("nanovl-mixed-sharded-split")
    (source / "tokenizer").mkdir()
    (source / "tokenizer" / "vocab.json").write_text("{}")
    before = files_of(source)
    target = source.parent / "out"
    done = run("rewrite", source, "--output", target)
    assert done.returncode == 0
    assert "17 weight files by hard link" in done.stdout
    assert files_of(source) == before
    made = files_of(target)
    assert set(made) == set(before)
    assert {name for name in made if made[name] != before[name]} == {
        "config.json",
        "hf_quant_config.json",
    }
    shard = "model-00001-of-00017.safetensors"
    assert (target / shard).samefile(source / shard)
    assert not (target / "tokenizer" / "vocab.json").samefile(source / "tokenizer" / "vocab.json")
    assert run("check", target, "--runtime", "vllm>=0.17").stdout.endswith(f"\n{target}: clean\n")


def test_if_hard_links_fail_a_symlink_is_made_and_reported(
    copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    source = copy_of("nanovl-mixed")

    def no_link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(output_module, "_reflink", lambda *_: False)
    made = make_output(DirectorySource.open(str(source)), source.parent / "out", ())
    assert made.linked == (("symlink", 1),)
    assert (source.parent / "out" / "model.safetensors").is_symlink()
    assert run("inspect", source.parent / "out").returncode == 0


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p: (p.mkdir(), (p / "x").touch()), "is not empty"),
        (lambda p: p.touch(), "is not a directory"),
        (lambda p: p.symlink_to(p.parent), "is not a directory"),
    ],
)
def test_an_output_that_is_taken_is_refused(
    copy_of: CopyOf, run: Run, prepare: Callable[[Path], object], message: str
) -> None:
    source = copy_of("nanovl-mixed")
    target = source.parent / "out"
    prepare(target)
    done = run("rewrite", source, "--output", target)
    assert done.returncode == 2
    assert message in done.stderr


def test_an_output_inside_the_checkpoint_is_refused(copy_of: CopyOf, run: Run) -> None:
    source = copy_of("nanovl-mixed")
    done = run("rewrite", source, "--output", source / "out")
    assert done.returncode == 2
    assert "is inside the checkpoint" in done.stderr


def test_an_empty_directory_may_be_the_output_and_a_refusal_makes_none(
    copy_of: CopyOf, run: Run
) -> None:
    source = copy_of("nanovl-mixed")
    target = source.parent / "out"
    target.mkdir()
    assert run("rewrite", source, "--output", target).returncode == 0
    broken = copy_of("recipe-nano4b-nvfp4_w4a16")
    refused = run("rewrite", broken, "--strategy", "rename", "--output", source.parent / "none")
    assert refused.returncode == 1
    assert not (source.parent / "none").exists()
    assert not [p for p in source.parent.iterdir() if p.name.startswith(".")]
