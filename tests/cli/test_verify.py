"""What `ckptfix verify` plans and says before torch is needed."""

import os
import shutil
from pathlib import Path

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.name_maps import choose_name_map
from ckptfix.runtimes.naming import Naming
from ckptfix.verifying.plan import GENERIC_FAMILY, Plan, plan_gemms, sampled, share_of
from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call, load


def plan_of(fixture: str, *globs: str) -> Plan:
    directory = FIXTURES / fixture if (FIXTURES / fixture).is_dir() else DATA / fixture
    checkpoint = load(directory)
    config = checkpoint.config
    family = family_for("vllm", "0.33.0", config.architectures) or GENERIC_FAMILY
    naming = Naming(checkpoint, choose_name_map(config.architectures, config.nested))
    return plan_gemms(checkpoint, naming, family, globs)


def test_without_torch_it_shows_how_to_install_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptfix.operations.verify.find_spec", lambda _: None)
    done = call("verify", DATA / "llama-fp8-kv8")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: verify needs torch, which is not installed; pip install 'ckptfix[verify]'"
    )


def test_a_path_that_the_safetensors_library_cannot_open_is_named(
    tmp_path: Path, call: Call
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        shutil.copytree(DATA / "llama-fp8-kv8", odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    done = call("verify", odd)
    assert (done.returncode, done.stdout) == (2, "")
    assert "not UTF-8, and the safetensors library opens no such path; rename" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("fixture", FIXTURE_NAMES)
def test_every_quantized_module_is_in_one_gemm_of_one_format(fixture: str) -> None:
    plan = plan_of(fixture)
    members = [member for gemm in plan.gemms for member in gemm.members]
    directory = FIXTURES / fixture
    checkpoint = load(directory)
    quantized = {name for name, stored in checkpoint.formats.items() if stored.is_quantized}
    assert len(members) == len(set(members))
    assert set(members) == quantized
    assert {gemm.problem for gemm in plan.gemms} <= {""}
    assert len({gemm.name for gemm in plan.gemms}) == len(plan.gemms)


def test_a_sample_has_one_gemm_of_every_algorithm_shape_and_role() -> None:
    plan = sampled(plan_of("qwen3vlmoe-nvfp4"), 1)
    run = [gemm.role for gemm in plan.gemms if gemm.runs]
    assert len(run) == len(set(run))
    assert set(run) == {gemm.role for gemm in plan.gemms}
    assert len(run) < len(plan.gemms)


def test_ranks_share_everything_by_bytes() -> None:
    plan = plan_of("qwen3vlmoe-nvfp4")
    shares = [share_of(plan, rank, 3) for rank in range(3)]
    names = sorted(gemm.name for share in shares for gemm in share.gemms)
    assert names == sorted(gemm.name for gemm in plan.gemms)
    assert max(share.nbytes for share in shares) < 1.2 * plan.nbytes / 3


def test_members_of_different_formats_are_a_failure_of_their_packed_module(tmp_path: Path) -> None:
    directory = tmp_path / "unlike"
    layer = "model.layers.0.self_attn"
    tensors = fp8(f"{layer}.q_proj") | bf16(f"{layer}.k_proj") | fp8(f"{layer}.v_proj")
    write_checkpoint(directory, tensors, mixed({f"{layer}.q_proj": "FP8"}))
    checkpoint = load(directory)
    naming = Naming(checkpoint, choose_name_map(checkpoint.config.architectures, ()))
    (gemm,) = plan_gemms(checkpoint, naming, GENERIC_FAMILY).gemms
    assert gemm.name == f"{layer}.qkv_proj"
    assert gemm.problem.startswith("its members are stored as FP8 and unquantized")


def test_a_glob_takes_names_of_the_runtime_and_of_the_checkpoint() -> None:
    by_runtime = plan_of("nanovl-mixed", "language_model.model.layers.3.mixer.qkv_proj")
    by_checkpoint = plan_of("nanovl-mixed", "language_model.backbone.layers.3.mixer.q_proj")
    assert by_runtime.gemms == by_checkpoint.gemms
    assert len(by_runtime.gemms) == 1
    with pytest.raises(CkptfixError, match=r"`modules` \*\.mlp: matches no quantized module"):
        plan_of("nanovl-mixed", "*.mlp")
