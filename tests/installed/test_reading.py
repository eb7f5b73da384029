"""What an answer of a runtime means, by made-up answers about a real checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.checkpoint import Checkpoint, load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.runtimes.installed.answer import Answer, BuiltModule, Parameter
from ckptfix.runtimes.installed.verdict import InstalledVerdict, verdict_of
from ckptfix.runtimes.loads import Effect
from tests.builders import Shapes, bf16, fp8, nvfp4, write_checkpoint

PLACE = "model.layers.0.mlp.down_proj"
BANK = "model.layers.0.mlp.experts"


def checkpoint(directory: Path, tensors: Shapes, **config: Any) -> Checkpoint:
    write_checkpoint(directory, tensors, {"quant_algo": "FP8"}, extra_config=config)
    return load_checkpoint(DirectorySource(directory), "it")


def layer(parameters: dict[str, Parameter], **more: Any) -> BuiltModule:
    given: dict[str, Any] = {"kind": "linear", "asked": (PLACE,), "method": "SomeMethod"}
    return BuiltModule(place=PLACE, parameters=parameters, **given | more)


FP8_LAYER = layer(
    {
        "weight": ("float8_e4m3fn", (32, 32)),
        "weight_scale": ("float32", (1,)),
        "input_scale": ("float32", (1,)),
    }
)
PLAIN_LAYER = layer({"weight": ("bfloat16", (32, 32))}, method="")


def landed(tensors: Shapes) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in tensors}


def verdict(found: Checkpoint, answer: Answer) -> InstalledVerdict:
    return verdict_of(found, answer, None, "")


def test_every_tensor_in_its_parameter(tmp_path: Path) -> None:
    tensors = fp8(PLACE)
    found = verdict(
        checkpoint(tmp_path, tensors), Answer(modules=(FP8_LAYER,), lands=landed(tensors))
    )
    assert [(m.name, m.stored, m.resolved, m.agrees) for m in found.modules] == [
        (PLACE, "FP8", "FP8", True)
    ]
    assert not found.faults


def test_a_matrix_that_was_refused_belongs_to_the_layer_that_it_was_meant_for(
    tmp_path: Path,
) -> None:
    tensors = nvfp4(PLACE)
    weight = f"{PLACE}.weight"
    rest = tuple(name for name in tensors if name != weight)
    errors = {"*": "shape", weight: "AssertionError: shape", **dict.fromkeys(rest, "KeyError")}
    answer = Answer(modules=(PLAIN_LAYER,), errors=errors, meant_for={weight: weight})
    [module] = verdict(checkpoint(tmp_path, tensors), answer).modules
    assert (module.stored, module.resolved, module.effect) == (
        "NVFP4",
        "unquantized",
        Effect.STOPS,
    )
    assert module.reason == f"stops at {weight} (and 3 more): AssertionError: shape"


def test_a_scale_that_is_left_out_makes_wrong_weights(tmp_path: Path) -> None:
    tensors = fp8(PLACE)
    scales = (f"{PLACE}.weight_scale", f"{PLACE}.input_scale")
    weight = f"{PLACE}.weight"
    cast = (weight, weight, "float8_e4m3fn", "bfloat16")
    answer = Answer(modules=(PLAIN_LAYER,), lands={weight: (weight,)}, unused=scales, casts=(cast,))
    [module] = verdict(checkpoint(tmp_path, tensors), answer).modules
    assert (module.agrees, module.effect) == (False, Effect.WRONG_WEIGHTS)
    assert module.reason == f"leaves out {scales[0]} (and 1 more)"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"cut": (f"{PLACE}.weight",)}, f"copies only a part of {PLACE}.weight"),
        ({"never_written": (f"{PLACE}.weight_scale",)}, "leaves uninitialised"),
        ({"never_written": (f"{PLACE}.input_scale",)}, "leaves uninitialised"),
        ({"partial": {f"{PLACE}.weight": (512, 1024)}}, "fills 512 of 1,024 elements of"),
    ],
)
def test_what_is_not_filled(answer: dict[str, Any], expected: str, tmp_path: Path) -> None:
    tensors = fp8(PLACE)
    given = Answer(modules=(FP8_LAYER,), lands=landed(tensors), **answer)
    [module] = verdict(checkpoint(tmp_path, tensors), given).modules
    assert not module.agrees
    assert expected in module.reason


def test_a_bank_with_an_expert_that_nothing_fills(tmp_path: Path) -> None:
    tensors = fp8(f"{BANK}.0.down_proj")
    bank = BuiltModule(BANK, "experts", (BANK,), "", {"w2_weight": ("float8_e4m3fn", (2, 32, 32))})
    answer = Answer(
        modules=(bank,),
        lands=dict.fromkeys(tensors, (f"{BANK}.w2_weight",)),
        partial={f"{BANK}.w2_weight": (1, 2)},
    )
    [module] = verdict(checkpoint(tmp_path, tensors), answer).modules
    assert module.reason == f"fills 1 of 2 experts of {BANK}.w2_weight"


def test_scales_of_the_attention_cache_and_drafts_need_not_be_loaded(tmp_path: Path) -> None:
    tensors = fp8(PLACE)
    answer = Answer(
        modules=(FP8_LAYER,),
        lands=landed(tensors),
        unused=("model.layers.0.self_attn.k_scale", "model.layers.1.mlp.up_proj.weight"),
        never_written=("model.layers.0.self_attn.attn.v_scale",),
    )
    found = verdict(checkpoint(tmp_path, tensors, num_hidden_layers=1), answer)
    assert not found.faults
    assert all(module.agrees for module in found.modules)


@pytest.mark.parametrize("needed", [False, True])
def test_scales_of_the_attention_cache_are_needed_where_it_is_quantized(
    needed: bool, tmp_path: Path
) -> None:
    scales = [f"model.layers.0.self_attn.{n}_proj.{n}_scale" for n in "kv"]
    tensors = fp8(PLACE)
    answer = Answer(
        modules=(FP8_LAYER,),
        lands=landed(tensors),
        unused=tuple(scales),
        needs_cache_scales=needed,
    )
    stored = checkpoint(tmp_path, tensors | dict.fromkeys(scales, ("F32", ())))
    faults = verdict(stored, answer).faults
    expected = f"quantizes the KV cache with scales of 1.0, and leaves out {scales[0]} (and 1 more)"
    assert [(f.text, f.effect) for f in faults] == [(expected, Effect.WRONG_WEIGHTS)] * needed


def test_weights_without_input_scales_do_not_need_them(tmp_path: Path) -> None:
    tensors = {k: v for k, v in nvfp4(PLACE).items() if not k.endswith("input_scale")}
    made = layer({"weight": ("uint8", (32, 16)), "weight_scale_2": ("float32", (1,))})
    answer = Answer(modules=(made,), lands=landed(tensors), never_written=(f"{PLACE}.input_scale",))
    [module] = verdict(checkpoint(tmp_path, tensors), answer).modules
    assert module.agrees


def test_what_has_no_layer_is_reported_once_for_identical_ones(tmp_path: Path) -> None:
    tensors = {**fp8(PLACE), **bf16("vision.a"), **bf16("vision.b")}
    answer = Answer(
        modules=(FP8_LAYER,),
        lands=landed(fp8(PLACE)),
        unused=("vision.a.weight", "vision.b.weight"),
        never_written=("model.norm.weight",),
    )
    found = verdict(checkpoint(tmp_path, tensors), answer)
    assert [fault.text for fault in found.faults] == [
        "leaves out vision.a.weight (and 1 more)",
        "leaves uninitialised model.norm.weight",
    ]


@pytest.mark.parametrize(
    ("weight", "scale", "built"),
    [
        ((64, 32), (2,), "FP8"),
        ((64, 32), (64,), "FP8_PER_CHANNEL_PER_TOKEN"),
        ((64, 32), (64, 1), "FP8_PER_CHANNEL_PER_TOKEN"),
        ((256, 256), (2, 2), "FP8_PB_WO"),
        ((256, 256), (2, 1, 2, 1), "FP8_PB_WO"),
        ((8, 64, 32), (8, 2), "FP8"),
        ((8, 256, 256), (8, 2, 2), "FP8_PB_WO"),
    ],
)
def test_formats_by_the_parameters_of_a_layer(
    weight: tuple[int, ...], scale: tuple[int, ...], built: str, tmp_path: Path
) -> None:
    tensors = bf16(PLACE)
    made = layer({"weight": ("float8_e4m3fn", weight), "weight_scale": ("float32", scale)})
    unfilled = (f"{PLACE}.weight_scale",)
    answer = Answer(modules=(made,), lands=landed(tensors), never_written=unfilled)
    [module] = verdict(checkpoint(tmp_path, tensors), answer).modules
    assert module.resolved == built


@pytest.mark.parametrize(
    ("answer", "why", "refused"),
    [
        (Answer(failed="it died"), "it gave no answer: it died", False),
        (
            Answer(refused="ValueError: no", place="a.py:1"),
            "stops: ValueError: no, at a.py:1",
            True,
        ),
        (
            Answer(refused="NotImplementedError: stubbed op", place="a.py:1", ours=True),
            "it cannot be built here: NotImplementedError: stubbed op, at a.py:1",
            False,
        ),
    ],
)
def test_no_answer_and_a_refusal(answer: Answer, why: str, refused: bool, tmp_path: Path) -> None:
    found = verdict(checkpoint(tmp_path, fp8(PLACE)), answer)
    refusal = found.refusal.text if found.refusal else ""
    assert (refusal, found.unknown_because) == ((why, "") if refused else ("", why))
