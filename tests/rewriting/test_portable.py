"""One rewrite for several releases, proved by resolving it again."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ckptfix.rewriting.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewriting.proof import harms
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.name_maps import choose_name_map
from ckptfix.runtimes.releases import requested_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from tests.builders import bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import FIXTURE_NAMES, FIXTURES, Run, files_but_the_backup, files_of, load

EVERY_RELEASE = ("vllm", "sglang")
FAULT = Reason.stop("the head is not stored")


def plan(directory: Path, *specs: str, strategy: Strategy = "auto") -> PortablePlan:
    checkpoint = load(directory)
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    targets = requested_targets(specs)
    return plan_for_targets(checkpoint, name_map.without_releases(), targets, strategy)


def wrong(verdicts: Iterable[TargetVerdict]) -> int:
    return sum(len(verdict.wrong) for verdict in verdicts)


@pytest.mark.parametrize("strategy", ["auto", "alias"])
def test_nano_vl_is_right_on_every_known_release(strategy: Strategy) -> None:
    made = plan(FIXTURES / "nanovl-mixed", *EVERY_RELEASE, strategy=strategy)
    assert wrong(made.before) > 0
    assert wrong(made.after) == 0
    renamed = sum(change.renamed for change in made.plan.files)
    assert (renamed > 0) == (strategy == "auto")
    assert not made.plan.refusals


def test_a_rename_alone_leaves_sglang_without_its_packed_name() -> None:
    made = plan(FIXTURES / "nanovl-mixed", *EVERY_RELEASE, strategy="rename")
    left = {(v.target.runtime, m.name) for v in made.after for m in v.wrong}
    assert left == {("sglang", "language_model.model.layers.3.mixer.qkv_proj")}


def test_no_entry_is_added_for_a_module_that_is_looked_up_without_a_name(tmp_path: Path) -> None:
    tensors = {**nvfp4("model.layers.0.mlp.down_proj"), **nvfp4("lm_head")}
    entries = mixed(
        {"model.layers.0.mlp.down_proj": "NVFP4", "lm_head": "NVFP4"}, quant_method="modelopt"
    )
    write_checkpoint(tmp_path, tensors, entries, architecture="ExaoneMoeForCausalLM")
    made = plan(tmp_path, "vllm==0.33.0")
    assert not made.plan.files
    ((left,),) = (verdict.wrong for verdict in made.after)
    assert left.label == "lm_head (looked up without a name)"
    assert left.reason == "this release looks it up without a name, so no entry can match it"


def test_nothing_changes_where_the_release_finds_all_names() -> None:
    assert not plan(FIXTURES / "nanovl-mixed", "vllm==0.33.0").plan.files


@pytest.mark.parametrize("name", FIXTURE_NAMES)
@pytest.mark.parametrize("specs", [("vllm==0.17.1", "sglang==0.5.23"), ("sglang==0.5.12.post1",)])
def test_no_plan_makes_a_right_module_wrong_or_adds_a_finding(
    name: str, specs: tuple[str, ...]
) -> None:
    made = plan(FIXTURES / name, *specs)
    assert not made.harmed
    assert wrong(made.after) <= wrong(made.before)
    assert len(made.plan.findings_after) <= len(made.plan.findings_before)


@pytest.mark.parametrize("name", ["nanovl-mixed", "nanoomni-mixed-naive"])
def test_planning_twice_changes_nothing_more(name: str, tmp_path: Path) -> None:
    directory = tmp_path / name
    if not (FIXTURES / name).is_dir():
        pytest.skip("this fixture lies in ../shared only")
    shutil.copytree(FIXTURES / name, directory)
    made = plan(directory, *EVERY_RELEASE)
    assert made.plan.files
    for change in made.plan.files:
        (directory / change.file).chmod(0o644)
        (directory / change.file).write_bytes(change.after)
    assert not plan(directory, *EVERY_RELEASE).plan.files


def test_a_rename_and_its_inverse_give_back_the_original_bytes(
    copy_of: Callable[[str], Path], run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    assert run("rewrite", directory, "--runtime", "vllm", "--strategy", "rename").returncode == 0
    back = ("--map", "language_model.model=language_model.backbone")
    assert run("rewrite", directory, *back).returncode == 0
    after = files_but_the_backup(directory)
    assert after == before


def test_the_command_shows_the_answer_of_each_release(
    copy_of: Callable[[str], Path], run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    specs = ("--runtime", "vllm==0.17.1", "--runtime", "sglang==0.5.23")
    # SGLang does not know the kinds of layers that transformers 5.14 writes: no name repairs that.
    remains = "layers_block_type in config.json contains linear_attention"
    done = run("rewrite", directory, *specs)
    assert done.returncode == 0
    assert "  config.json           24 names changed, 1 alias added\n" in done.stdout
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "vllm 0.17.1 no yes" in rows
    assert "sglang 0.5.23 no no" in rows
    (reason,) = rows[rows.index("no rename or alias fixes these") + 1 : -1]
    assert reason.startswith(f"sglang 0.5.23: stops: {remains}")
    assert run("check", directory, *specs[:2]).returncode == 0
    checked = run("check", directory, *specs).stdout
    assert f"sglang 0.5.23 no, stops while loading: {remains}" in " ".join(checked.split())
    assert "does not load on sglang 0.5.23" in checked
    assert run("check", directory).returncode == 1
    again = run("rewrite", directory, *specs)
    assert f"{directory}: nothing to rename\n" in again.stdout


def test_what_no_name_repairs_is_reported_with_the_reason(run: Run) -> None:
    omni = FIXTURES / "nanoomni-mixed-naive"
    done = run("rewrite", omni, "--dry-run", "--runtime", "vllm==0.33.0")
    assert done.returncode == 0
    assert "no rename or alias fixes these" in done.stderr
    assert "this runtime builds it without a quantization config" in done.stderr
    assert done.stdout == ""


def granite_hybrid(directory: Path, quantization: dict[str, Any]) -> Path:
    """vLLM and SGLang build `mamba` with the prefix `mixer`."""
    tensors = {
        **fp8("model.layers.0.shared_mlp.input_linear"),
        **bf16("model.layers.0.mamba.in_proj"),
        **bf16("model.layers.0.mamba.out_proj"),
    }
    architecture = "GraniteMoeHybridForCausalLM"
    return write_checkpoint(directory, tensors, quantization, architecture=architecture)


def test_a_pattern_gets_an_alias_if_a_runtime_looks_up_another_name(tmp_path: Path) -> None:
    uniform = {"quant_algo": "FP8", "ignore": ["model.layers.0.mamba*"], "quant_method": "modelopt"}
    made = plan(granite_hybrid(tmp_path / "c", uniform), "vllm", "sglang")
    assert wrong(made.before) > 0
    assert wrong(made.after) == 0
    (change,) = made.plan.files
    after = json.loads(change.after)["quantization_config"]
    assert after["ignore"] == ["model.layers.0.mamba*", "model.layers.0.mixer*"]


def test_a_module_that_nothing_excludes_is_not_excluded_by_a_plan(tmp_path: Path) -> None:
    """Whether it should be quantized is not a matter of names: --from-tensors decides that."""
    uniform = {"quant_algo": "FP8", "ignore": [], "quant_method": "modelopt"}
    made = plan(granite_hybrid(tmp_path / "c", uniform), "vllm", "sglang")
    assert wrong(made.before) > 0
    assert not made.plan.files


@pytest.mark.parametrize(
    ("before", "after", "is_harmed"),
    [((), (FAULT,), True), ((FAULT,), (FAULT,), False), ((FAULT,), (), False), ((), (), False)],
)
def test_a_release_that_loads_the_checkpoint_must_load_it_afterwards(
    before: tuple[Reason, ...], after: tuple[Reason, ...], is_harmed: bool
) -> None:
    """Even if every module is built as it is stored: a head may be left out by a tied embedding."""
    target = Target("vllm", "0.33.0", "0.33.0")
    verdicts = [TargetVerdict(target, faults=faults) for faults in (before, after)]
    assert harms(*verdicts) is is_harmed
