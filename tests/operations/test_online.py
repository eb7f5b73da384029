"""`check --online`: quantization of an unquantized checkpoint while it is loaded."""

import json
from pathlib import Path

import pytest

from ckptfix.operations.online import online
from tests.builders import Shapes, bf16, fp8, write_checkpoint
from tests.conftest import Run
from tests.runtimes.whole_models import CONFIG, LINEARS, NORMS

LAYER = "model.layers.0."


def llama(directory: Path, *, rows: int = 64, odd: str = "", stored: str = "") -> Path:
    """A Llama of one layer without quantization."""
    tensors: Shapes = {**bf16("model.embed_tokens", 64, 64), **bf16("lm_head", 64, 64)}
    for name in LINEARS:
        height = rows if name == "mlp.down_proj" else 64
        tensors |= fp8(LAYER + name, 64, 64) if name == stored else bf16(LAYER + name, height, 64)
    if odd:
        tensors[f"{LAYER}{odd}.weight"] = ("F16", (64, 64))
    for norm in (*(LAYER + n for n in NORMS), "model.norm"):
        tensors[f"{norm}.weight"] = ("BF16", (64,))
    return write_checkpoint(directory, tensors, extra_config=CONFIG)


def outcomes(directory: Path, release: str, method: str = "fp8") -> dict[str, tuple[str, str]]:
    (answer,) = online(directory, method=method, runtimes=[release])
    assert not answer.stops, answer.stops
    return {module.name: (module.becomes, module.why) for module in answer.modules}


def test_linear_layers_are_quantized_and_tables_left(tmp_path: Path) -> None:
    found = outcomes(llama(tmp_path), "vllm==0.28.0")
    packed = [f"{LAYER}self_attn.qkv_proj", f"{LAYER}mlp.gate_up_proj", f"{LAYER}mlp.down_proj"]
    assert {name: found[name] for name in packed} == dict.fromkeys(packed, ("quantized", ""))
    assert found["lm_head"][0] == found["model.embed_tokens"][0] == "unquantized"
    assert "kind head" in found["lm_head"][1]


@pytest.mark.parametrize(
    ("release", "method", "why"),
    [
        ("vllm==0.33.0", "fp8", "use fp8_per_tensor"),
        ("vllm==0.17.1", "fp8_per_block", "what it does for fp8_per_block is not known"),
        ("sglang==0.5.23", "fp8", "which modules it quantizes while loading is not known"),
    ],
)
def test_releases_that_do_not_are_listed(
    release: str, method: str, why: str, tmp_path: Path
) -> None:
    (answer,) = online(llama(tmp_path), method=method, runtimes=[release])
    assert not answer.works
    assert why in answer.stops + answer.unknown


def test_what_stops_a_release_and_what_is_slow_is_reported(tmp_path: Path) -> None:
    found = outcomes(llama(tmp_path / "odd", odd="mlp.gate_proj"), "vllm==0.28.0")
    assert found[f"{LAYER}mlp.gate_up_proj"][0] == "stops"
    found = outcomes(llama(tmp_path / "stored", stored="self_attn.o_proj"), "vllm==0.28.0")
    assert found[f"{LAYER}self_attn.o_proj"] == (
        "stops", "it is stored as F8_E4M3, which it cannot quantize",
    )  # fmt: skip
    uneven = llama(tmp_path / "uneven", rows=60)
    assert "slower kernel" in outcomes(uneven, "vllm==0.20.0")[f"{LAYER}mlp.down_proj"][1]
    assert outcomes(uneven, "vllm==0.28.0")[f"{LAYER}mlp.down_proj"] == ("quantized", "")


def test_a_checkpoint_that_is_quantized_already_is_refused(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, fp8("lm_head"), {"quant_algo": "FP8"})
    (answer,) = online(directory, method="fp8", runtimes=["vllm==0.28.0"])
    assert "already quantized" in answer.stops


def test_the_command_shows_it_and_its_exit_code(tmp_path: Path, run: Run) -> None:
    directory = llama(tmp_path)
    done = run("check", directory, "--online", "fp8", "--runtime", "vllm==0.28.0")
    assert done.returncode == 0, done.stderr
    assert "quantizes 4 of 6 modules" in done.stdout
    done = run("check", directory, "--online", "fp8", "--runtime", "vllm", "--json")
    assert done.returncode == 1
    *_, newest = json.loads(done.stdout)["releases"]
    assert "use fp8_per_tensor" in newest["stops"]
    assert run("check", directory, directory, "--online", "fp8").returncode == 2
