"""Modules and weights that the class builds and no tensor fills."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.family import builtin_families, newest_learned
from ckptfix.runtimes.loads import Answer, Effect, Loads
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import fp8, write_checkpoint
from tests.conftest import DATA, Call, load
from tests.runtimes.structure.models import BOTH, FP8, SIZES, llama, loads, reasons_of
from truth_loop.case import CONFIG, HF_QUANT, Case


@pytest.mark.parametrize("runtime", BOTH)
def test_a_complete_checkpoint_loads(tmp_path: Path, runtime: str) -> None:
    found = loads(tmp_path, runtime, llama())
    assert found == Loads(Answer.YES)
    assert found.effect is None


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("missing", "config", "reason"),
    [
        ("model.norm.weight", {}, "model.norm is not stored"),
        ("lm_head.weight", {}, "the head is not stored"),
        ("model.layers.1.", {}, "num_hidden_layers is 2, but layer 1 is not stored"),
        ("nothing", {"num_hidden_layers": 3}, "num_hidden_layers is 3, but layer 2 is not stored"),
    ],
)
def test_missing_weights(
    tmp_path: Path, runtime: str, missing: str, config: dict[str, Any], reason: str
) -> None:
    left = {name: shape for name, shape in llama().items() if not name.startswith(missing)}
    found = loads(tmp_path, runtime, left, config)
    assert found.answer is Answer.NO
    assert reason in reasons_of(found)
    assert found.effect is Effect.WRONG_WEIGHTS


@pytest.mark.parametrize("runtime", BOTH)
def test_an_excerpt_of_a_checkpoint_is_not_one(tmp_path: Path, runtime: str) -> None:
    """Both runtimes load quantized layers alone, and leave the rest as it was allocated."""
    layers = {name: shape for name, shape in llama().items() if ".layers." in name}
    found = loads(tmp_path, runtime, layers)
    assert found.answer is Answer.NO
    assert found.effect is Effect.WRONG_WEIGHTS
    for missing in ("model.embed_tokens is not", "model.norm is not", "the head is not stored"):
        assert missing in reasons_of(found)


@pytest.mark.parametrize(
    ("missing", "effect"),
    [
        ("model.norm.weight", Effect.STOPS),
        ("model.layers.1.", Effect.STOPS),
        ("model.layers.1.mlp.up_proj", Effect.WRONG_WEIGHTS),
    ],
)
def test_vllm_looks_for_unwritten_weights_of_an_unquantized_model(
    tmp_path: Path, missing: str, effect: Effect
) -> None:
    """It takes a config without quant_method for none; linears have a method and are left out."""
    plain = {
        name: ("BF16", shape) for name, (_, shape) in llama().items() if name.endswith(".weight")
    }
    left = {name: shape for name, shape in plain.items() if not name.startswith(missing)}
    found = loads(tmp_path, "vllm", left, quantization={"quant_algo": "FP8"})
    assert found.effect is effect
    assert "not stored" in reasons_of(found)


O_PROJ = "model.layers.1.self_attn.o_proj"


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (f"{O_PROJ}.", f"{O_PROJ} is not stored"),
        ("model.layers.0.mlp.up_proj.", "model.layers.0.mlp.up_proj is not stored"),
    ],
)
def test_a_missing_module_of_a_block(
    tmp_path: Path, runtime: str, missing: str, reason: str
) -> None:
    left = {name: shape for name, shape in llama().items() if not name.startswith(missing)}
    found = loads(tmp_path, runtime, left)
    assert reason in reasons_of(found)
    assert found.effect is Effect.WRONG_WEIGHTS


@pytest.mark.parametrize("runtime", BOTH)
def test_scales_without_a_weight(tmp_path: Path, runtime: str) -> None:
    left = llama()
    del left[f"{O_PROJ}.weight"]
    assert f"{O_PROJ} has scales but no weight" in reasons_of(loads(tmp_path, runtime, left))


@pytest.mark.parametrize("runtime", BOTH)
def test_a_bias_without_a_weight(tmp_path: Path, runtime: str) -> None:
    left = llama() | {f"{O_PROJ}.bias": ("BF16", (32,))}
    left = {n: s for n, s in left.items() if not n.startswith(O_PROJ) or n.endswith("bias")}
    assert f"{O_PROJ}.weight is not stored" in reasons_of(loads(tmp_path, runtime, left))


@pytest.mark.parametrize("runtime", BOTH)
def test_fp8_needs_its_input_scale(tmp_path: Path, runtime: str) -> None:
    left = llama()
    del left["model.layers.0.self_attn.k_proj.input_scale"]
    found = loads(tmp_path, runtime, left)
    (reason,) = found.reasons
    assert reason.module == "model.layers.0.self_attn.qkv_proj"
    assert "k_proj has no input_scale" in reason.text
    assert found.effect is Effect.WRONG_WEIGHTS


DRAFTED = {"num_nextn_predict_layers": 1}


@pytest.mark.parametrize(
    ("runtime", "version", "architecture", "needed"),
    [
        ("vllm", "0.33.0", "NemotronH_Nano_VL_V2", True),
        ("vllm", "0.28.0", "NemotronH_Nano_VL_V2", False),
        ("sglang", "0.5.23", "NemotronH_Nano_VL_V2", False),
        ("sglang", "0.5.23", "NemotronH_Omni_Reasoning_V3", True),
        ("sglang", "0.5.17", "NemotronH_Omni_Reasoning_V3", False),
    ],
)
def test_a_module_that_the_class_builds_only_with_draft_layers(
    tmp_path: Path, runtime: str, version: str, architecture: str, needed: bool
) -> None:
    write_checkpoint(
        tmp_path,
        fp8("language_model.backbone.layers.0.mixer.up_proj"),
        FP8,
        architecture=architecture,
        extra_config={"llm_config": DRAFTED},
    )
    found = judge(load(tmp_path), Target(runtime, version, version)).loads
    assert ("vision_projector.vision_final_layernorm is not stored" in reasons_of(found)) == needed


def test_a_bias_that_config_json_enables(tmp_path: Path) -> None:
    config = {"mlp_bias": True}
    found = loads(tmp_path / "v", "vllm", llama(), config)
    assert "model.layers.0.mlp.gate_proj.bias is not stored" in reasons_of(found)
    # SGLang's Llama has no bias there, whatever config.json declares.
    assert loads(tmp_path / "s", "sglang", llama(), config).answer is Answer.YES


def test_it_is_a_finding_and_the_answer_of_the_first_screen(tmp_path: Path, call: Call) -> None:
    left = llama()
    del left["model.norm.weight"]
    directory = write_checkpoint(tmp_path / "c", left, FP8, extra_config=SIZES)
    done = call("check", directory, "--runtime", "vllm==0.33.0")
    assert done.returncode == 1
    answer = "no, loads and computes with the wrong weights: leaves weights uninitialised"
    assert f"  vllm 0.33.0  {answer}: model.norm is not stored\n" in done.stdout
    assert "\nvllm 0.33.0: leaves weights uninitialised: model.norm is not stored (CKF703)\n" in (
        done.stdout
    )
    assert "error CKF703" in call("check", directory, "--runtime", "vllm==0.33.0", "-v").stdout
    screen = call("check", directory).stdout
    assert f"vllm 0.15.0 to 0.33.0   {answer}" in screen


@pytest.mark.parametrize("missing", ["embedder.weight", "cls_token.token", "pos_embed"])
def test_what_a_tower_has_beside_its_layers(tmp_path: Path, missing: str) -> None:
    """vLLM 0.33.0 loads either of the last two checkpoints, and writes nothing there."""
    lost = f"vision_model.radio_model.model.patch_generator.{missing}"
    config, hf_quant = (
        (DATA / "nanovl-fp8" / file).read_text("utf-8") for file in (CONFIG, HF_QUANT)
    )
    case = Case("c", "nanovl-fp8", (), config, hf_quant, tensors={lost: None})
    written = load(case.write(DATA, tmp_path / "c"))
    found = judge(written, Target("vllm", "0.33.0", "0.33.0")).loads
    name = f"vision_model.model.patch_generator.{missing}"
    part = name if missing == "pos_embed" else name.rpartition(".")[0]
    assert [str(reason) for reason in found.reasons] == [
        f"leaves weights uninitialised: {part} is not stored"
    ]


TOWERS = [
    ("quantizers/ar-qwen25vl-w4a16", "visual.", "nothing of visual is stored"),
    ("qwen3vlmoe-nvfp4", "model.visual.deepstack_merger_list.", "deepstack_merger_list.0.norm is"),
    ("qwen3vlmoe-nvfp4", "model.visual.", "nothing of visual is stored"),
    ("nanovl-fp8", "mlp1.", "nothing of mlp1 is stored"),
    ("nanovl-fp8", "vision_model.", "nothing of vision_model.model.encoder is stored"),
]


def _without(tmp_path: Path, fixture: str, start: str, **values: Any) -> Checkpoint:
    source = load(DATA / fixture)
    lost = {name: None for name in source.table.tensors if name.startswith(start)}
    home = DATA / Path(fixture).parent
    texts = [(DATA / fixture / file) for file in (CONFIG, HF_QUANT)]
    config, hf_quant = (text.read_text("utf-8") if text.exists() else None for text in texts)
    config = json.dumps(json.loads(config or "{}") | values)
    case = Case("c", Path(fixture).name, (), config, hf_quant, tensors=lost)
    return load(case.write(home, tmp_path / "c"))


@pytest.mark.parametrize(("fixture", "start", "reason"), TOWERS)
def test_a_whole_tower_is_missing(tmp_path: Path, fixture: str, start: str, reason: str) -> None:
    """vLLM 0.33.0 and SGLang 0.5.23 load the first three, and write nothing there."""
    written = _without(tmp_path, fixture, start)
    for target in (Target("vllm", "0.33.0", "0.33.0"), Target("sglang", "0.5.23", "0.5.23")):
        found = judge(written, target).loads
        assert found.answer is Answer.NO
        assert reason in reasons_of(found).replace("model.visual", "visual")


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({"deepstack_visual_indexes": [0]}, False),
        ({"deepstack_visual_indexes": [0, 0]}, True),
        ({}, True),
    ],
)
def test_sglang_has_three_deepstack_mergers_by_default(
    tmp_path: Path, values: dict[str, Any], *, lost: bool
) -> None:
    """sglang 0.5.23: sglang/srt/configs/qwen3_vl.py, which Qwen3.5 shares; the fixture has one."""
    config = json.loads((DATA / "qwen3vlmoe-nvfp4" / CONFIG).read_text("utf-8"))["vision_config"]
    del config["deepstack_visual_indexes"]
    written = _without(tmp_path, "qwen3vlmoe-nvfp4", "none", vision_config=config | values)
    found = judge(written, Target("sglang", "0.5.23", "0.5.23")).loads
    assert ("deepstack_merger_list.1.norm is not stored" in reasons_of(found)) == lost


@pytest.mark.parametrize(("release", "built"), [("vllm 0.33.0", True), ("sglang 0.5.23", False)])
def test_sglang_builds_no_tower_where_config_json_has_none(
    tmp_path: Path, release: str, *, built: bool
) -> None:
    """sglang 0.5.23: sglang/srt/models/qwen3_vl.py; vLLM has an option for that."""
    written = _without(tmp_path, "qwen3vlmoe-nvfp4", "model.visual.", language_model_only=True)
    runtime, version = release.split()
    found = judge(written, Target(runtime, version, version)).loads
    assert ("visual is stored" in reasons_of(found)) is built


def test_places_of_towers_are_those_that_were_learned() -> None:
    """A place that no tensor reaches would be missing from every checkpoint."""
    unlike = []
    for family in builtin_families():
        spec = family.spec
        for architecture in spec.architectures if spec.other_towers else ():
            known = newest_learned(spec.runtime, spec.versions, architecture)
            if known is None or spec.places is not None:
                continue  # its own places were written by hand
            places = {f"{family.places.map(row.stored)}." for row in known.names.rows.values()}
            unlike += [
                (spec.runtime, architecture, tower)
                for tower in spec.other_towers
                if not any(place.startswith(f"{tower}.") for place in places)
            ]
    assert not unlike
