"""Names of quantizers with their own reading: written so that a release finds them."""

import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from ckptfix.errors import CkptfixError
from tests.conftest import DATA, SHARED, Run, files_of
from tests.rules.test_own_names import (
    AWQ,
    EVERY,
    FP8,
    PAIR,
    ROUND,
    awq,
    blocks,
    groups,
    layers,
    packed,
)
from tests.runtimes.whole_models import GPTQ, METADATA, RELEASE, model

EXPORTS = SHARED / "quantizers" / "fixtures"
EVERY_EXPORT = sorted({p.name for p in EXPORTS.glob("*")} - {"syn-mxfp4-gptoss"})
"""But for one in which no runtime reads a name."""
DOWN = "model.layers.0.mlp.down_proj"


def loads(directory: Path) -> str:
    (answer,) = ckptfix.check(directory, runtimes=[RELEASE]).runtimes
    return str(answer.loads)


CASES: dict[str, tuple[dict[str, Any], Any, tuple[str, ...], bool]] = {
    "a part of a name that is compared as a whole": (
        FP8 | {"modules_to_not_convert": ["down_proj"]}, blocks, ("mlp.down_proj",), False,
    ),
    "rules of GPTQ for members": (
        METADATA | {"dynamic": {r"-:.*mlp\.gate_proj": {}, r"-:.*mlp\.up_proj$": {}},
                    "modules_in_block_to_quantize": [["self_attn", "mlp"]]},
        GPTQ, PAIR, False,
    ),
    "the name of a parent that is compared as a whole": (
        FP8 | {"modules_to_not_convert": ["layers.0.mlp"]}, blocks,
        (*PAIR, "mlp.down_proj"), False,
    ),
    "unquantized, and nothing says so: compressed-tensors": (
        groups("Linear"), packed, ("mlp.down_proj",), True,
    ),
    "unquantized, and nothing says so: AutoRound": (ROUND, GPTQ, ("mlp.down_proj",), True),
    "unquantized, and nothing says so: FP8": (FP8, blocks, ("mlp.down_proj", "lm_head"), True),
    "quantized, and left out: AutoRound": (
        ROUND | {"extra_config": {DOWN: {"bits": 16}}}, GPTQ, (), True,
    ),
    "quantized, and left out: AWQ": (
        AWQ | {"modules_to_not_convert": ["lm_head", DOWN]}, awq, (), True,
    ),
    "quantized, and left out: GPTQ": (
        METADATA | {"dynamic": {"-:.*down_proj": {}}}, GPTQ, (), True,
    ),
    "quantized, and not listed": (
        groups(*(n for n in EVERY if "o_proj" not in n)), packed, (), True,
    ),
    "only one member is left out": (
        FP8 | {"modules_to_not_convert": ["model.layers.0.mlp.up_proj"]}, blocks, PAIR, True,
    ),
    "an expression for a member meets the packed module": (
        groups("Linear", ignore=("lm_head", "re:.*up_proj$")), packed, (), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_rewrite_lets_the_release_load_it_and_undo_takes_it_back(
    name: str, tmp_path: Path
) -> None:
    metadata, linear, plain, from_tensors = CASES[name]
    directory = model(tmp_path, metadata, linear, plain)
    before = files_of(directory)
    assert loads(directory) == "no"
    plan = ckptfix.plan(directory, runtimes=[RELEASE], from_tensors=from_tensors)
    assert not plan.refused
    assert "quantization_config" in plan.diff() or plan.diff().startswith("---")
    ckptfix.rewrite(directory, runtimes=[RELEASE], from_tensors=from_tensors)
    assert loads(directory) == "yes"
    again = ckptfix.plan(directory, runtimes=[RELEASE], from_tensors=from_tensors)
    assert not again.changes_something
    ckptfix.undo(directory)
    assert files_of(directory) == before


def test_what_only_the_tensors_refute_is_left_without_from_tensors(tmp_path: Path) -> None:
    directory = model(tmp_path, ROUND, GPTQ, ("mlp.down_proj",))
    plan = ckptfix.plan(directory, runtimes=[RELEASE])
    assert not plan.changes_something
    assert plan.tensors_say_more


def test_a_name_that_runs_on_is_spelled_out(tmp_path: Path) -> None:
    directory = layers(tmp_path, left_out=(2,), skipped=["model.layers.2"])
    assert loads(directory) == "no"
    ckptfix.rewrite(directory, runtimes=[RELEASE])
    assert loads(directory) == "yes"
    config = json.loads((directory / "config.json").read_text())
    skipped = config["quantization_config"]["modules_to_not_convert"]
    assert "model.layers.2" not in skipped
    assert "model.layers.2.mlp.down_proj" in skipped


def test_the_second_file_is_written_the_same_way_and_the_output_is_another_directory(
    tmp_path: Path,
) -> None:
    directory = model(tmp_path, ROUND, GPTQ, ("mlp.down_proj",))
    (directory / "quantization_config.json").write_text(json.dumps(ROUND))
    before = files_of(directory)
    done = tmp_path / "done"
    ckptfix.rewrite(directory, runtimes=[RELEASE], from_tensors=True, output=done)
    assert files_of(directory) == before
    assert loads(done) == "yes"
    own = json.loads((done / "quantization_config.json").read_text())
    whole = json.loads((done / "config.json").read_text())["quantization_config"]
    assert own == whole
    assert own["extra_config"] == {DOWN: {"bits": 16}}
    assert filecmp.cmp(directory / "model.safetensors", done / "model.safetensors", shallow=False)


def test_a_name_that_matches_nothing_goes_with_from_tensors(tmp_path: Path) -> None:
    wrong = "model.layers.0.self_atn.q_proj"
    directory = model(tmp_path, groups("Linear", ignore=("lm_head", wrong)), packed)
    ckptfix.rewrite(directory, from_tensors=True)
    config = json.loads((directory / "config.json").read_text())
    assert config["quantization_config"]["ignore"] == ["lm_head"]


@pytest.mark.parametrize(
    ("export", "from_tensors"),
    [
        ("ct-qwen3vl-nvfp4a16", False),
        ("ar-qwen25vl-w4a16-visual", False),
        ("ar-llama-w4a16-g32-lmhead", True),
        ("ct-llama-lmhead-fp8", True),
        ("qk-qwen3moe-mxfp4", True),
        ("qk-qwen3moe-fp8-mixed", True),
    ],
)
def test_exports_that_a_release_refuses_are_repaired(
    export: str, from_tensors: bool, tmp_path: Path
) -> None:
    """The rewritten ones load in the real vLLM 0.33.0 too: tests/oracle."""
    folders = [f / export for f in (DATA / "quantizers", EXPORTS) if (f / export).is_dir()]
    if not folders:
        pytest.skip("../shared is not here")
    done = tmp_path / "done"
    assert loads(folders[0]) == "no"
    ckptfix.rewrite(folders[0], runtimes=[RELEASE], from_tensors=from_tensors, output=done)
    assert loads(done) == "yes"


@pytest.mark.parametrize("from_tensors", [False, True])
@pytest.mark.parametrize("export", EVERY_EXPORT)
def test_a_plan_for_every_release_can_be_made_for_every_export(
    export: str, from_tensors: bool
) -> None:
    """One that adds no name to a group of targets wrote a comma behind its last one."""
    plan = ckptfix.plan(EXPORTS / export, from_tensors=from_tensors)
    assert plan.portable is not None
    now = {str(verdict.target): str(verdict.loads.answer) for verdict in plan.portable.before}
    then = {str(verdict.target): str(verdict.loads.answer) for verdict in plan.portable.after}
    assert not {release for release in now if now[release] == "yes" != then[release]}


@pytest.mark.parametrize("wrapped", [True, False])
def test_what_compressed_tensors_wrote_before_0_6_is_moved_to_where_releases_look(
    wrapped: bool, tmp_path: Path, run: Run
) -> None:
    own = {k: v for k, v in groups("Linear").items() if k != "quant_method"}
    directory = model(tmp_path, {}, packed)
    config = json.loads((directory / "config.json").read_text())
    del config["quantization_config"]
    config["compression_config"] = {"quantization_config": own} if wrapped else own
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    before = files_of(directory)
    sglang = ckptfix.check(directory, runtimes=["sglang==0.5.23"])
    assert (loads(directory), sglang.loads) == ("no", "no")
    assert sglang.advised is not None
    assert [answer.loads for answer in sglang.advised.then] == ["yes"]
    done = run("rewrite", directory)
    assert "names copied from config.json /compression_config" in done.stdout
    assert loads(directory) == "yes"
    assert ckptfix.check(directory, runtimes=["sglang==0.5.23"]).loads == "yes"
    after = json.loads((directory / "config.json").read_text())
    assert after["quantization_config"] == own | {"quant_method": "compressed-tensors"}
    assert "compression_config" not in after
    ckptfix.undo(directory)
    assert files_of(directory) == before


@pytest.mark.parametrize(
    ("export", "left"), [("fp8-qwen25vl-block", 2), ("syn-gptq-qwen3vl-dynamic-anchored", 0)]
)
def test_what_no_name_can_express_is_left_and_the_rest_repaired(export: str, left: int) -> None:
    folders = [f / export for f in (DATA / "quantizers", EXPORTS) if (f / export).is_dir()]
    if not folders:
        pytest.skip("../shared is not here")
    plan = ckptfix.plan(folders[0], runtimes=[RELEASE])
    assert plan.portable is not None
    (before,), (after,) = plan.portable.before, plan.portable.after
    assert len(after.wrong) == left < len(before.wrong)


def test_maps_for_names_that_are_not_plain_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CkptfixError, match="not plain names"):
        ckptfix.plan(model(tmp_path, ROUND), maps=["model=language_model"])
    with pytest.raises(CkptfixError, match="no runtime reads a name in metadata of MXFP4"):
        ckptfix.plan(DATA / "quantizers" / "syn-mxfp4-gptoss", maps=["model=language_model"])


def test_metadata_in_which_no_runtime_reads_a_name_are_left_as_they_are(
    tmp_path: Path, run: Run
) -> None:
    """A script that rewrites every checkpoint before serving does not stop at one that loads."""
    export = tmp_path / "gptoss"
    shutil.copytree(DATA / "quantizers" / "syn-mxfp4-gptoss", export)
    before = files_of(export)
    done = run("rewrite", export)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to rename" in done.stdout
    assert files_of(export) == before
