"""`compare`: what became of the source, and whether a drafter fits, without reading weights."""

import json
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from ckptfix import CkptfixError
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, safetensors_bytes, write_checkpoint
from tests.conftest import Run

LAYERS = 3
CONFIG: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": LAYERS}


def source_tensors() -> Shapes:
    made: Shapes = {**bf16("model.embed_tokens", 64, 32), **bf16("lm_head", 64, 32)}
    for layer in range(LAYERS):
        for part in ("self_attn.q_proj", "mlp.up_proj"):
            made |= bf16(f"model.layers.{layer}.{part}", 64, 32)
        made |= bf16(f"model.layers.{layer}.input_layernorm", 32)
    return made


def quantized_tensors(prefix: str = "") -> Shapes:
    made: Shapes = {
        **bf16(f"{prefix}model.embed_tokens", 64, 32),
        **bf16(f"{prefix}lm_head", 64, 32),
    }
    for layer in range(LAYERS):
        made |= fp8(f"{prefix}model.layers.{layer}.self_attn.q_proj", 64, 32)
        made |= nvfp4(f"{prefix}model.layers.{layer}.mlp.up_proj", 64, 32)
        made |= bf16(f"{prefix}model.layers.{layer}.input_layernorm", 32)
        made[f"{prefix}model.layers.{layer}.self_attn.q_proj.k_scale"] = ("F32", ())
    return made


def write_source(directory: Path, tensors: Shapes | None = None) -> Path:
    return write_checkpoint(directory, tensors or source_tensors(), extra_config=CONFIG)


def write_quantized(directory: Path, tensors: Shapes | None = None, **config: object) -> Path:
    layers = range(LAYERS)
    entries = {f"model.layers.{n}.self_attn.q_proj": "FP8" for n in layers}
    entries |= {f"model.layers.{n}.mlp.up_proj": "NVFP4" for n in layers}
    return write_checkpoint(
        directory,
        tensors or quantized_tensors(),
        mixed(entries),
        extra_config={**CONFIG, **config},
    )


def test_everything_of_the_source_is_there(tmp_path: Path, run: Run) -> None:
    write_source(tmp_path / "source")
    write_quantized(tmp_path / "made")
    done = run("compare", "made", "source")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("made: every tensor of the source is present\n")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert rows["FP8"][1:3] == ["3", "6,144"]
    assert rows["FP8"][-1] == "8.05"  # one byte a value, and three scales of four bytes each
    found = ckptfix.compare(tmp_path / "made", tmp_path / "source").source
    assert found is not None
    assert (found.tensors, found.kept, found.converted) == (11, 5, {})
    assert {row.stored_format: row.modules for row in found.quantized} == {"FP8": 3, "NVFP4": 3}
    assert {row.stored_format: row.source_bytes for row in found.quantized} == {
        "FP8": 3 * 64 * 32 * 2,
        "NVFP4": 3 * 64 * 32 * 2,
    }
    assert (found.missing, found.reshaped, found.added) == ((), (), ())


def test_what_is_lost_changed_or_added_is_named(tmp_path: Path, run: Run) -> None:
    write_source(tmp_path / "source")
    tensors = quantized_tensors()
    for name in list(tensors):
        if name.startswith("model.layers.1.mlp.up_proj") or name == "lm_head.weight":
            del tensors[name]
    tensors |= nvfp4("model.layers.2.mlp.up_proj", 64, 64)
    tensors |= bf16("model.layers.0.input_layernorm", 64)
    tensors["model.embed_tokens.weight"] = ("F32", (64, 32))
    tensors |= bf16("model.extra")
    write_quantized(tmp_path / "made", tensors)
    done = run("compare", "made", "source", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    found = report["source"]
    assert report["passes"] is False
    assert found["missing"] == ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"]
    assert [(r["name"], r["source"], r["stored"]) for r in found["reshaped"]] == [
        ("model.layers.0.input_layernorm.weight", [32], [64]),
        ("model.layers.2.mlp.up_proj.weight", [64, 32], [64, 64]),
    ]
    assert found["converted"] == {"BF16 to F32": 1}
    assert found["added"] == ["model.extra.weight"]
    text = run("compare", "made", "source").stdout
    assert text.endswith("made: 2 tensors missing, 2 with a different shape\n")
    assert "  model.layers.1.mlp.up_proj.weight\n" in text


def test_a_tied_head_is_not_missing(tmp_path: Path) -> None:
    write_source(tmp_path / "source")
    tensors = quantized_tensors()
    del tensors["lm_head.weight"]
    write_quantized(tmp_path / "made", tensors, tie_word_embeddings=True)
    found = ckptfix.compare(tmp_path / "made", tmp_path / "source")
    assert found.passes
    assert found.source is not None
    assert found.source.left_out == ("lm_head.weight",)


@pytest.mark.parametrize("longer", ["made", "source"])
def test_a_prefix_before_every_name_loses_nothing(longer: str, tmp_path: Path) -> None:
    prefix = "language_model."
    ours, theirs = quantized_tensors(), source_tensors()
    if longer == "made":
        ours = quantized_tensors(prefix)
    else:
        theirs = {f"{prefix}{name}": value for name, value in theirs.items()}
    write_source(tmp_path / "source", theirs)
    write_quantized(tmp_path / "made", ours)
    found = ckptfix.compare(tmp_path / "made", tmp_path / "source").source
    assert found is not None
    assert found.complete
    assert found.prefix == (prefix if longer == "made" else f"-{prefix}")


def test_experts_stored_as_one_tensor_are_found_one_by_one(tmp_path: Path) -> None:
    experts = "model.layers.0.mlp.experts"
    theirs = source_tensors()
    theirs[f"{experts}.gate_up_proj"] = ("BF16", (4, 32, 64))
    theirs[f"{experts}.down_proj"] = ("BF16", (4, 32, 32))
    ours = quantized_tensors()
    for expert in range(4):
        for part in ("gate_proj", "up_proj", "down_proj"):
            ours |= nvfp4(f"{experts}.{expert}.{part}")
    write_source(tmp_path / "source", theirs)
    write_quantized(tmp_path / "made", ours)
    found = ckptfix.compare(tmp_path / "made", tmp_path / "source").source
    assert found is not None
    assert found.complete
    assert {r.stored_format: r.modules for r in found.quantized} == {"FP8": 3, "NVFP4": 15}
    del ours[f"{experts}.3.up_proj.weight"]
    write_quantized(tmp_path / "less", ours)
    less = ckptfix.compare(tmp_path / "less", tmp_path / "source").source
    assert less is not None
    assert not less.complete


EAGLE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLMEagle3"],
    "vocab_size": 64,
    "draft_vocab_size": 16,
    "hidden_size": 32,
    "eagle_config": {"eagle_aux_hidden_state_layer_ids": [0, 1, 2]},
}


def write_drafter(directory: Path, *, quantized: bool = False, **config: object) -> Path:
    directory.mkdir()
    layer = fp8("midlayer.mlp.up_proj") if quantized else bf16("midlayer.mlp.up_proj")
    tensors: Shapes = {**bf16("fc", 32, 96), **layer, "d2t": ("I64", (16,))}
    (directory / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    (directory / "config.json").write_text(json.dumps({**EAGLE, **config}))
    return directory


def test_a_drafter_that_fits(tmp_path: Path, run: Run) -> None:
    write_quantized(tmp_path / "made")
    write_drafter(tmp_path / "eagle")
    done = run("compare", "made", "--draft", "eagle")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("drafter eagle (EAGLE-3)\n")
    assert done.stdout.endswith("made: the drafter fits\n")
    assert [line.split()[-1] for line in done.stdout.splitlines()[2:7]] == ["yes"] * 5


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"vocab_size": 65}, ["vocabulary"]),
        ({"draft_vocab_size": 17}, ["vocabulary"]),
        ({"hidden_size": 64}, ["hidden size"]),
        ({"hidden_size": 64, "target_hidden_size": 32}, []),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [0, 1, 3]}}, ["tapped layers"]),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [0, 1]}}, ["input of fc"]),
        ({"eagle_config": {}}, []),
        (
            {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}},
            ["quantization"],
        ),
        (
            {
                "architectures": ["DFlashDraftModel"],
                "dflash_config": {"target_layer_ids": [0, 1, 9]},
            },
            ["tapped layers"],
        ),
    ],
)
def test_a_drafter_that_does_not_fit(
    config: dict[str, Any], wrong: list[str], tmp_path: Path
) -> None:
    write_quantized(tmp_path / "made")
    write_drafter(tmp_path / "draft", **config)
    pair = ckptfix.compare(tmp_path / "made", draft=tmp_path / "draft").draft
    assert pair is not None
    assert [check.what for check in pair.checks if check.agrees is False] == wrong
    assert pair.fits == (not wrong)
    assert all(bool(check.why) == (check.agrees is False) for check in pair.checks)


def test_a_quantized_drafter_without_metadata_is_built_unquantized(tmp_path: Path) -> None:
    write_quantized(tmp_path / "made")
    write_drafter(tmp_path / "draft", quantized=True)
    pair = ckptfix.compare(tmp_path / "made", draft=tmp_path / "draft").draft
    assert pair is not None
    (wrong,) = (check for check in pair.checks if check.agrees is False)
    assert wrong.why == "without its own metadata it is built unquantized"


def test_what_cannot_be_compared(tmp_path: Path, run: Run) -> None:
    write_quantized(tmp_path / "made")
    for arguments, message in (
        (("made",), "nothing to compare with; name a SOURCE, or use --draft"),
        (("made", "nowhere"), "nowhere: no such directory"),
        (("made", "--draft", "nowhere"), "nowhere: no such directory"),
    ):
        done = run("compare", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {message}\n"
    with pytest.raises(CkptfixError, match="nothing to compare with"):
        ckptfix.compare(tmp_path / "made")
