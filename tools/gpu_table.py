"""What runs natively on a GPU: a row for every stored format; gpu_check.sh calls it."""

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

import ckptfix
from ckptfix.errors import CkptfixError
from ckptfix.operations.verify import require_torch
from ckptfix.verifying.device import open_device, torch_version

DATA = Path(__file__).parents[1] / "tests" / "data"
FIXTURES = (
    "llama-fp8-kv8",
    "llama-fp8-pc-pt",
    "llama256-fp8-pb-real",
    "llama-mxfp8",
    "llama-nvfp4-tied",
    "llama-nvfp4-awq",
    "llama-nvfp4-svd",
    "llama-w4a16-nvfp4",
    "llama-w4a8-nvfp4-fp8",
    "llama-w4a8-mxfp4-fp8",
    "llama128-int4-awq",
    "llama128-w4a8-awq",
    "llama-int8-wo",
    "llama-int8-sq",
)


def device_line(device: str) -> str:
    """Hardware, driver, versions, date."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        driver = next(iter(done.stdout.splitlines()), "?")
    except FileNotFoundError:
        driver = "?"
    today = datetime.datetime.now(datetime.UTC).date()
    return f"{open_device(device)}, driver {driver}, torch {torch_version()}, {today}"


def rows(fixture: str, device: str) -> list[tuple[str, ...]]:
    """Of each algorithm, kernel and reason in a fixture: the number of GEMMs, the worst error."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for gemm in ckptfix.verify(DATA / fixture, device=device, sample=None).results:
        key = gemm.planned.quant_algo, gemm.kernel or "-", gemm.how, gemm.reason
        groups.setdefault(key, []).append(gemm.error if gemm.error is not None else 1e9)
    return [
        (*key[:3], str(len(errors)), f"{max(errors):.4f}", key[3]) for key, errors in groups.items()
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--device-line", action="store_true")
    arguments = parser.parse_args()
    require_torch()
    print(device_line(arguments.device))
    if arguments.device_line:
        return
    print("\n| algo | kernel | how | GEMMs | worst error | why |\n|---|---|---|---|---|---|")
    for fixture in FIXTURES:
        for row in rows(fixture, arguments.device):
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    try:
        main()
    except CkptfixError as error:
        sys.exit(f"error: {error}")
