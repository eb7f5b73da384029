"""How fast `ckptfix verify` loads: next to `cat` and to the safetensors package, in the same run.

    python benchmarks/verify.py [--gigabytes 4.5] [--device cpu] [--directory DIR]

Makes a checkpoint of real data (attention FP8, MLP NVFP4) in a temporary directory and removes it.
Every measurement is a process of its own, all in turn, ROUNDS times (`verify` once): cold after
the files were dropped from the page cache, warm without. The table has medians.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file

import ckptfix
from ckptfix.checkpoint.checkpoint import load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.runtimes.name_maps import NO_MAP
from ckptfix.runtimes.naming import Naming
from ckptfix.verifying.dequantize.fp4 import pack, to_e2m1
from ckptfix.verifying.device import open_device
from ckptfix.verifying.outcome import VerifyReport
from ckptfix.verifying.plan import GENERIC_FAMILY, plan_gemms
from ckptfix.verifying.spans import units_of
from ckptfix.verifying.stream import PREFETCH_BYTES, Stream

ROUNDS = 3
HIDDEN, INNER, KEYS = 4096, 14336, 1024
ATTENTION = {"q_proj": HIDDEN, "k_proj": KEYS, "v_proj": KEYS, "o_proj": HIDDEN}
MLP = {"gate_proj": (INNER, HIDDEN), "up_proj": (INNER, HIDDEN), "down_proj": (HIDDEN, INNER)}
LOADING: Final = ("cat", "load_file", "stream")
NAMES = {
    "cat": "`cat` to /dev/null",
    "load_file": "`safetensors.torch.load_file`, every tensor copied",
    "stream": "ckptfix, loading alone, every tensor copied",
    "verify": "`ckptfix verify`, numbers of all, a sample of GEMMs",
}


def fp8(module: str, out: int, columns: int) -> Iterator[tuple[str, torch.Tensor]]:
    """A weight of normal values in FP8."""
    weight = torch.randn(out, columns)
    scale = weight.abs().amax() / 448
    yield f"{module}.weight", (weight / scale).to(torch.float8_e4m3fn)
    yield f"{module}.weight_scale", scale
    yield f"{module}.input_scale", torch.tensor(0.02)


def nvfp4(module: str, out: int, columns: int) -> Iterator[tuple[str, torch.Tensor]]:
    """A weight of normal values in NVFP4; its second scale is one that all members share."""
    second = torch.tensor(6.0 / (6 * 448))
    blocks = torch.randn(out, columns // 16, 16).clamp(-6, 6)
    blocks[0, 0, 0] = 6.0
    scales = (blocks.abs().amax(-1) / 6 / second).to(torch.float8_e4m3fn)
    codes = to_e2m1(blocks / (scales.float() * second)[..., None])
    yield f"{module}.weight", pack(codes.reshape(out, columns))
    yield f"{module}.weight_scale", scales
    yield f"{module}.weight_scale_2", second
    yield f"{module}.input_scale", torch.tensor(0.001)


def generate(directory: Path, nbytes: int) -> int:
    """Layers until there are so many bytes, a shard file each; the bytes."""
    torch.manual_seed(0)
    one: dict[str, torch.Tensor] = {}
    for part, out in ATTENTION.items():
        one |= fp8(f"self_attn.{part}", out, HIDDEN)
    for part, (out, columns) in MLP.items():
        one |= nvfp4(f"mlp.{part}", out, columns)
    each: int = sum(tensor.nbytes for tensor in one.values())
    layers = -(-nbytes // each)
    weight_map: dict[str, str] = {}
    entries: dict[str, object] = {}
    for layer in range(layers):
        file = f"model-{layer + 1:05}-of-{layers:05}.safetensors"
        named = {f"model.layers.{layer}.{name}": tensor for name, tensor in one.items()}
        save_file(named, directory / file)
        weight_map |= dict.fromkeys(named, file)
        for part in ATTENTION:
            entries[f"model.layers.{layer}.self_attn.{part}"] = {"quant_algo": "FP8"}
        for part in MLP:
            algo = {"quant_algo": "NVFP4", "group_size": 16}
            entries[f"model.layers.{layer}.mlp.{part}"] = algo
    total = {"total_size": each * layers}
    _write(directory, "model.safetensors.index.json", {"metadata": total, "weight_map": weight_map})
    quantization = {
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": entries,
        "quant_method": "modelopt",
        "producer": {"name": "modelopt", "version": "0.47.0"},
    }
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": quantization}
    _write(directory, "config.json", config)
    return each * layers


def _write(directory: Path, name: str, value: object) -> None:
    (directory / name).write_text(json.dumps(value), encoding="utf-8")


def shards(directory: Path) -> list[Path]:
    """Files of weights."""
    return sorted(directory.glob("*.safetensors"))


def forget(directory: Path) -> None:
    """Drop the files from the page cache."""
    for path in shards(directory):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def load_with_safetensors(directory: Path, device: str) -> None:
    """Every tensor in memory of its own: on a CPU the library only maps the file."""
    for path in shards(directory):
        for tensor in load_file(path, device=device).values():
            tensor.clone()


def load_with_stream(directory: Path, device: str) -> None:
    """What `verify` does before it computes."""
    source = DirectorySource.open(str(directory))
    checkpoint = load_checkpoint(source, directory.name)
    plan = plan_gemms(checkpoint, Naming(checkpoint, NO_MAP), GENERIC_FAMILY)
    units = list(units_of(checkpoint, source, plan))
    with Stream(units, open_device(device).torch_device) as stream:
        for _, tensors in stream:
            for tensor in tensors.values():
                tensor.clone()


def measure(method: str, directory: Path, device: str) -> None:
    """One measurement: prints seconds without start-up, and peak memory."""
    before = memory("VmRSS")
    start = time.perf_counter()
    if method == "cat":
        subprocess.run(["cat", *shards(directory)], stdout=subprocess.DEVNULL, check=True)
    elif method == "load_file":
        load_with_safetensors(directory, device)
    elif method == "stream":
        load_with_stream(directory, device)
    else:
        report = ckptfix.verify(directory, device=device)
        if report.exit_code:
            raise SystemExit(f"verify found something: exit code {report.exit_code}")
        for row in gemm_rows(report):
            print(row)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": memory("VmHWM") - before}))


def gemm_rows(report: VerifyReport) -> Iterator[str]:
    """A line for each GEMM that `verify` ran; the first one's time includes the start of CUDA."""
    for gemm in report.results:
        if gemm.how != "measured":
            out, columns = gemm.planned.shape
            yield (
                f"{gemm.planned.quant_algo} {out} x {columns}: {gemm.kernel}, {gemm.how}, "
                f"error {gemm.error or 0:.4f}, {gemm.seconds * 1e3:.1f} ms"
            )


def memory(field: str) -> int:
    """Bytes of this process, from /proc: VmRSS now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def run_once(method: str, directory: Path, device: str) -> dict[str, float]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", method, "--device", device]
    done = subprocess.run(
        [*command, "--directory", str(directory)], check=True, capture_output=True, text=True
    )
    *rows, last = done.stdout.splitlines()
    for row in rows:
        print(row)
    found: dict[str, float] = json.loads(last)
    return found


def table(directory: Path, nbytes: int, device: str) -> None:
    """All methods in turn."""
    print(
        f"{nbytes / 1e9:.1f} GB in {len(shards(directory))} files on {open_device(device)}; "
        f"{os.cpu_count()} cores, torch {torch.__version__}, {platform.platform()}; "
        f"budget {PREFETCH_BYTES / 1e9:.1f} GB; medians of {ROUNDS} rounds\n",
        flush=True,
    )
    for state in ("cold", "warm"):
        found: dict[str, list[dict[str, float]]] = {method: [] for method in LOADING}
        for first in range(ROUNDS):
            # Each comes first once: a cache below this machine would favour the later ones.
            for method in (*LOADING[first:], *LOADING[:first]):
                if state == "cold":
                    forget(directory)
                found[method].append(run_once(method, directory, device))
        show(found, f"page cache {state}", nbytes)
    forget(directory)
    print("GEMMs of one `verify`:\n")
    show({"verify": [run_once("verify", directory, device)]}, "cold, one round", nbytes)


def show(found: dict[str, list[dict[str, float]]], state: str, nbytes: int) -> None:
    """A Markdown table."""
    rates = {
        method: nbytes / 1e9 / statistics.median(run["seconds"] for run in runs)
        for method, runs in found.items()
    }
    print(f"| {state} | GB/s | of `cat` | peak memory above start |\n|---|---|---|---|")
    for method, runs in found.items():
        ratio = f"{rates[method] / rates['cat']:.2f}" if "cat" in rates else "-"
        most = max(run["memory"] for run in runs) / 1e9
        held = "-" if method == "cat" else f"{most:.2f} GB"
        print(f"| {NAMES[method]} | {rates[method]:.2f} | {ratio} | {held} |")
    print(flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure loading.")
    parser.add_argument("--gigabytes", type=float, default=4.5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--measure", choices=NAMES)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.directory, arguments.device)
        return
    with tempfile.TemporaryDirectory(prefix="ckptfix-bench-", dir=arguments.directory) as made:
        directory = Path(made)
        nbytes = generate(directory, int(arguments.gigabytes * 1e9))
        table(directory, nbytes, arguments.device)


if __name__ == "__main__":
    main()
