"""`ckptfix verify` from the command line to the report."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ckptfix.report.spelling import spelled
from ckptfix.verifying.device import open_device, out_of_memory
from tests.builders import fp8, write_checkpoint
from tests.conftest import DATA, Call, CopyOf, files_of, load
from tests.verifying.corruption import Corruption, Editor
from tests.verifying.modules import BANK, needs_scaled_mm_on_cpu, stacked_bank
from tests.verifying.reports import report

ROOT = Path(__file__).parents[2]


@needs_scaled_mm_on_cpu
def test_packed_modules_are_run_as_the_runtime_joins_them(call: Call) -> None:
    made = report(call, DATA / "llama-fp8-kv8", "--all", "--runtime", "vllm==0.33.0")
    gemms = {gemm["name"]: gemm for gemm in made["gemms"]}
    assert len(gemms) == 8
    qkv = gemms["model.layers.0.self_attn.qkv_proj"]
    assert [member.rpartition(".")[2] for member in qkv["members"]] == [
        "q_proj",
        "k_proj",
        "v_proj",
    ]
    assert qkv["shape"] == [128, 64]
    assert (qkv["how"], qkv["kernel"]) == ("native", "torch scaled_mm TensorWise")
    assert 0 < qkv["requantized_error"] < 0.03
    assert made["joined_as"] == "vllm 0.33.0"


def test_a_checkpoint_of_which_nothing_can_be_decoded_is_not_verified(call: Call) -> None:
    done = call("verify", DATA / "quantizers" / "bnb-qwen3moe-nf4")
    assert done.returncode == 2
    assert "0 GEMMs agree" in done.stdout
    assert "4 not run because ckptfix has no decoder for them" in done.stdout


def test_a_url_is_the_directory_and_advice_names_it(call: Call) -> None:
    directory = DATA / "nanovl-mixed"
    flags = ("--device", "cpu", "--runtime", "vllm==0.17.1")
    done = call("verify", f"file://localhost{directory}", *flags)
    assert done.returncode == 1, done.stderr
    assert f"ckptfix rewrite {directory} --dry-run --runtime vllm==0.17.1\n" in done.stdout


def test_the_experts_of_a_bank_are_run_one_by_one(call: Call) -> None:
    made = report(call, DATA / "qwen3vlmoe-nvfp4", "--all", "--modules", "*.experts")
    names = [gemm["name"] for gemm in made["gemms"]]
    assert {gemm["kind"] for gemm in made["gemms"]} == {"experts"}
    assert any(name.endswith(".experts.0.gate_up_proj") for name in names)
    assert any(name.endswith(".experts.3.down_proj") for name in names)
    assert len({gemm["module"] for gemm in made["gemms"]}) * 8 == len(names)


def test_a_sample_runs_one_of_each_kind_and_looks_at_the_numbers_of_all(
    call: Call, copy_of: CopyOf
) -> None:
    directory = copy_of("llama-nvfp4-tied")
    made = report(call, directory)
    assert [gemm["how"] for gemm in made["gemms"]].count("measured") == 4
    assert len(report(call, directory, "--sample", 2)["gemms"]) == 8
    not_run = next(g["members"][0] for g in made["gemms"] if g["how"] == "measured")
    Editor(directory, load(directory)).corrupt(Corruption(not_run, "input_scale", "nan"))
    wrong = report(call, directory, exit_code=1)
    assert not_run in {name for finding in wrong["findings"] for name in finding["modules"]}


def test_text_groups_similar_modules_and_shows_why_they_are_emulated(call: Call) -> None:
    done = call("verify", DATA / "llama-nvfp4-tied", "--device", "cpu", "--all")
    assert done.returncode == 0
    assert "model.layers.{0-1}.self_attn.qkv_proj (2)  NVFP4  torch matmul BF16  emulated" in (
        done.stdout
    )
    assert (
        "emulated, 8 modules: NVFP4 needs a GPU with compute capability 10.0, but this is a CPU"
    ) in done.stdout
    assert "8 GEMMs agree (0 native, 8 emulated)" in done.stdout
    verbose = call("verify", DATA / "llama-nvfp4-tied", "--device", "cpu", "--all", "-v")
    assert "model.layers.1.mlp.down_proj " in verbose.stdout


@needs_scaled_mm_on_cpu
def test_a_module_that_is_resolved_unquantized_fails_under_its_runtime(call: Call) -> None:
    assert report(call, DATA / "nanovl-mixed")["runtimes"] == []
    made = report(call, DATA / "nanovl-mixed", "--runtime", "vllm==0.17.1", exit_code=1)
    assert {finding["code"] for finding in made["findings"]} == {"CKF701"}
    assert {gemm["how"] for gemm in made["gemms"]} >= {"native", "emulated"}
    one = report(
        call,
        DATA / "nanovl-mixed",
        *("--runtime", "vllm==0.17.1", "--modules", "*.layers.1.*"),
        exit_code=1,
    )
    assert {m for f in one["findings"] for m in f["modules"]} == {
        m for gemm in one["gemms"] for m in gemm["members"]
    }


def test_a_source_proves_what_the_tensors_alone_cannot(call: Call, copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    module = "model.layers.1.mlp.down_proj"
    Editor(directory, load(directory)).corrupt(Corruption(module, "weight_scale", "x2"))
    report(call, directory, "--all")  # a weight twice as large is still a weight
    made = report(call, directory, "--source", DATA / "llama-kv8-only", exit_code=1)
    assert [(f["code"], f["modules"]) for f in made["findings"]] == [("CKF812", [module])]
    assert made["compared_with_source"] == 14


def test_tensors_of_no_known_format_fail(call: Call, copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    shard = directory / "model.safetensors"
    wrong = shard.read_bytes().replace(
        b"1.mlp.down_proj.weight_scale", b"1.mlp.down_proj.weight_scalf"
    )
    shard.write_bytes(wrong)
    made = report(call, directory, exit_code=1)
    assert "CKF301" in {finding["code"] for finding in made["findings"]}
    (failed,) = (gemm for gemm in made["gemms"] if gemm["how"] == "failed")
    assert failed["name"] == "model.layers.1.mlp.down_proj"
    assert "has no weight_scale" in failed["reason"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--all", "--sample", "2"), "--all cannot be used with --sample"),
        (("--modules", "*.nothing"), "--modules *.nothing: matches no quantized module"),
        (("--device", "tpu"), "--device tpu: no such device; write cpu, cuda or cuda:N"),
        (("--backend", "vllm"), "--backend vllm: vLLM is not installed; omit --backend"),
        (("--source", "/nowhere"), "/nowhere: no such directory"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    call: Call, options: tuple[str, ...], sentence: str
) -> None:
    done = call("verify", DATA / "llama-fp8-kv8", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1


def test_a_truncated_file_is_one_sentence(call: Call, copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    shard = directory / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    done = call("verify", directory, "--device", "cpu")
    assert done.returncode == 2
    assert "truncated or its header is wrong" in done.stderr


def test_a_full_gpu_is_one_sentence(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("ckptfix.verifying.run.run_layer", full)
    done = call("verify", DATA / "llama-fp8-kv8", "--device", "cpu")
    assert done.returncode == 2
    message = out_of_memory(open_device("cpu"), "model.layers.0.mlp.down_proj")
    assert done.stderr == f"error: {spelled(str(message))}\n"


@needs_scaled_mm_on_cpu
def test_ctrl_c_reports_what_is_known_so_far(tmp_path: Path) -> None:
    """In a process of its own, stopped while its second GEMM runs."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it\n"
        "from ckptfix.verifying import run\n"
        "real, runs = run.run_layer, []\n"
        "def slow(*arguments):\n"
        "    runs.append(1)\n"
        "    if len(runs) == 2:\n"
        "        print('ready', file=sys.stderr, flush=True)\n"
        "        time.sleep(60)\n"
        "    return real(*arguments)\n"
        "run.run_layer = slow\n"
        "from ckptfix.__main__ import main\n"
        f"sys.argv = ['ckptfix', 'verify', {str(DATA / 'llama-fp8-kv8')!r}, '--device', 'cpu']\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == ""
    assert "interrupted after 1 of 8 GEMMs; 1 GEMM agrees (1 native, 0 emulated)" in stdout


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_cuda
@pytest.mark.parametrize("name", ["llama-fp8-kv8", "llama-nvfp4-svd", "nanovl-mixed-sharded-split"])
def test_the_whole_command_runs_on_a_gpu(name: str, call: Call) -> None:
    done = call("verify", DATA / name, "--device", "cuda", "--all", "--json")
    made = json.loads(done.stdout)
    assert done.returncode == 0, made["findings"]
    assert made["device"].startswith("cuda:0 (")


@needs_cuda
def test_a_gpu_finds_what_a_cpu_finds(call: Call, copy_of: CopyOf) -> None:
    directory = copy_of("llama-nvfp4-tied")
    module = "model.layers.1.mlp.down_proj"
    Editor(directory, load(directory)).corrupt(Corruption(module, "weight_scale", "nan"))
    found = {}
    for device in ("cpu", "cuda"):
        made = json.loads(call("verify", directory, "--device", device, "--all", "--json").stdout)
        found[device] = made["exit_code"], made["findings"]
    assert found["cuda"] == found["cpu"]
    assert found["cuda"][0] == 1


@needs_cuda
def test_a_gpu_that_is_not_there_is_one_sentence(call: Call) -> None:
    done = call("verify", DATA / "llama-fp8-kv8", "--device", "cuda:99")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: --device cuda:99: GPU 99 does not exist; this machine has"
    )


def test_rewrite_verifies_its_result(call: Call, copy_of: CopyOf) -> None:
    directory = copy_of("nanovl-mixed")
    done = call("rewrite", directory, "--verify", "--runtime", "vllm==0.17.1")
    assert done.returncode == 0, done.stdout
    assert "rewrote" in done.stdout
    assert "modules fused as in vllm 0.17.1" in done.stdout
    assert "vllm 0.17.1: every module is built in its stored format" in done.stdout
    wrong = copy_of("llama-fp8-kv8")
    module = "model.layers.0.mlp.down_proj"
    Editor(wrong, load(wrong)).corrupt(Corruption(module, "input_scale", "zero"))
    done = call("rewrite", wrong, "--verify")
    assert done.returncode == 1
    assert "has 1 zero as input_scale" in done.stdout


def test_rewrite_verify_requires_torch_before_it_writes(
    call: Call, copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    monkeypatch.setattr("ckptfix.operations.verify.find_spec", lambda _: None)
    done = call("rewrite", directory, "--verify")
    assert done.returncode == 2
    assert "verify needs torch" in done.stderr
    assert call("rewrite", directory, "--verify", "--dry-run").stderr == (
        "error: --verify needs a written result; drop --dry-run\n"
    )
    assert files_of(directory) == before


@pytest.mark.parametrize("dtype", ["I32", "F4", "C64"])
def test_tensors_of_a_dtype_that_no_decoder_takes_fail(
    dtype: str, call: Call, tmp_path: Path
) -> None:
    tensors = {**fp8("model.a"), "model.a.weight": (dtype, (32, 32))}
    made = report(call, write_checkpoint(tmp_path, tensors, {"quant_algo": "FP8"}), exit_code=1)
    assert {finding["code"] for finding in made["findings"]} == {"CKF301", "CKF801", "CKF811"}


@needs_scaled_mm_on_cpu
def test_a_stacked_bank_is_run_expert_by_expert(call: Call, tmp_path: Path) -> None:
    _, tensors = stacked_bank(tmp_path)
    (gemm,) = report(call, tmp_path)["gemms"]
    assert (gemm["name"], gemm["kind"], gemm["shape"]) == (
        f"{BANK}.gate_up_proj",
        "experts",
        [64, 32],
    )
    assert gemm["how"] == "native"
    tensors[f"{BANK}.gate_up_proj_weight_scale"][1] = 0
    save_file(tensors, tmp_path / "model.safetensors")
    made = report(call, tmp_path, exit_code=1)
    assert {finding["subject"] for finding in made["findings"]} >= {f"{BANK}.gate_up_proj[1]"}
