"""The map of layers, and how `inspect` shows it."""

import json
from pathlib import Path

import pytest

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.operations.check_one import CheckRequest, check_one
from ckptfix.operations.inspect import inspect
from ckptfix.operations.layer_map import LayerMap, Stack, layer_map
from ckptfix.operations.loading import load
from ckptfix.report.console import plain
from ckptfix.report.layers_text import layer_map_lines
from ckptfix.runtimes.name_maps import builtin_name_map
from ckptfix.runtimes.releases import requested_targets
from ckptfix.runtimes.verdict import judge_each
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Run


def map_of(checkpoint: Checkpoint) -> LayerMap:
    return layer_map(checkpoint, builtin_name_map(checkpoint))


def stack_of(layers: LayerMap, name: str) -> Stack:
    (found,) = (stack for stack in layers.stacks if stack.name == name)
    return found


def shown(layers: LayerMap, width: int) -> list[str]:
    return list(map(plain, layer_map_lines(layers, width)))


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_quantized_module_is_in_the_map_once_in_its_format(name: str) -> None:
    checkpoint = load(str(FIXTURES / name))
    layers = map_of(checkpoint)
    letters = {entry.format: entry.letter for entry in layers.legend}
    assert len(set(letters.values())) == len(letters)
    found: dict[str, str] = {}
    for stack in layers.stacks:
        for row in stack.rows:
            for spot, letter in zip(row.spots, row.letters, strict=True):
                assert (spot is None) == (letter == " ")
                if spot is not None:
                    assert found.keys().isdisjoint(spot.modules)
                    found |= dict.fromkeys(spot.modules, letter)
                    assert letter == "*" or letter == letters[spot.format]
    quantized = {n for n, f in checkpoint.formats.items() if f.is_quantized}
    assert quantized == {n for n, letter in found.items() if letter != "."}
    counted = {row.stored_format: row.modules for row in inspect(FIXTURES / name).formats}
    for entry in layers.legend:
        if entry.format != "unquantized":
            assert counted[entry.format] == list(found.values()).count(entry.letter)


def test_a_folded_checkpoint_has_the_same_map() -> None:
    whole = load(str(DATA / "qwen3vlmoe-nvfp4"))
    assert whole.folded is not whole
    assert shown(map_of(whole.folded), 80) == shown(map_of(whole), 80)


def test_experts_in_several_formats_are_marked(tmp_path: Path) -> None:
    experts = "model.layers.1.mlp.experts"
    tensors = fp8(f"{experts}.0.up_proj") | nvfp4(f"{experts}.1.up_proj")
    tensors |= fp8("model.layers.0.mlp.up_proj")
    layers = map_of(load(str(write_checkpoint(tmp_path, tensors))))
    rows = {row.name: row for row in stack_of(layers, "model.layers").rows}
    assert rows["mlp.experts.*.up_proj"].letters == " *"
    spot = rows["mlp.experts.*.up_proj"].spots[1]
    assert spot is not None
    assert spot.format == "FP8 and NVFP4"
    assert "* several" in shown(layers, 80)[0]


def test_what_a_release_builds_instead_is_in_the_map() -> None:
    checkpoint = load(str(DATA / "nanovl-mixed"))
    targets = requested_targets(["vllm==0.17.1", "vllm==0.33.0"])
    verdicts = judge_each(checkpoint, targets)
    layers = layer_map(checkpoint, builtin_name_map(checkpoint), verdicts)
    assert layers.differs
    wrong = {m for verdict in verdicts for w in verdict.wrong for m in w.members}
    marked = {
        module: spot.differences
        for stack in layers.stacks
        for row in stack.rows
        for spot in row.spots
        if spot is not None and spot.differences
        for module in spot.modules
    }
    assert marked.keys() == wrong
    (difference,) = marked["language_model.backbone.layers.0.mixer.in_proj"]
    assert difference.releases == targets[:1]
    assert difference.resolved == "unquantized"
    assert difference.reason.startswith("quantized_layers lists it with the checkpoint spelling")
    assert not map_of(checkpoint).differs


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_tall_stack_fits_the_terminal(width: int, tmp_path: Path) -> None:
    tensors: Shapes = {}
    for layer in range(123):
        make = nvfp4 if layer % 10 == 9 else fp8
        tensors |= make(f"model.layers.{layer}.mlp.shared_expert.a_rather_long_name_of_a_module")
    layers = map_of(load(str(write_checkpoint(tmp_path, tensors))))
    lines = shown(layers, width)
    assert max(map(len, lines)) <= width
    rows = [text[text.index("module") + 6 :].strip() for text in lines if "_module" in text]
    assert "".join(rows) == ("F" * 9 + "N") * 12 + "FFF"
    rulers = " ".join(text for text in lines if "_module" not in text).split()
    assert [int(n) for n in rulers if n.isdecimal()] == list(range(0, 130, 10))


def test_odd_names_neither_break_the_map_nor_reach_the_terminal(tmp_path: Path, run: Run) -> None:
    names = ("a.\x1b[31m.1.b", f"layers.{'9' * 900}.q", "0.q", ".5.", "experts.0.w", "m.experts.1")
    tensors: Shapes = {k: v for name in names for k, v in fp8(name).items()}
    write_checkpoint(tmp_path / "c", tensors, mixed(dict.fromkeys(names, "FP8")))
    done = run("inspect", "c")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert r"\x1b[31m" in done.stdout


def test_inspect_shows_the_map_and_its_json_does_not_change(tmp_path: Path, run: Run) -> None:
    tensors = fp8("model.layers.0.q") | bf16("model.layers.1.q") | bf16("model.layers.1.norm", 32)
    write_checkpoint(tmp_path / "c", tensors, mixed({"model.layers.0.q": "FP8"}))
    text = run("inspect", "c").stdout
    assert text.endswith("layers  F FP8  . unquantized\n\nmodel.layers\n     0\n  q  F.\n")
    report = json.loads(run("inspect", "c", "--json").stdout)
    assert "layers" not in report
    assert "stacks" not in json.dumps(report)


def test_check_makes_the_map_only_if_it_is_shown() -> None:
    name = str(DATA / "nanovl-mixed")
    assert check_one(name, CheckRequest(repairs=False)).layers is None
    checked = check_one(name, CheckRequest(repairs=False, page=True))
    assert checked.layers is not None
    assert checked.layers.differs
