"""Commands on generated checkpoints as whole processes, next to a parser of the same headers.

python benchmarks/large.py [--sizes 165k 1m] [--rounds 5] [--keep DIR]

Everything runs in turn, ROUNDS times after one round that fills the page cache; the tables hold
medians, ratios of the same run, and the highest peak memory.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from generate import SIZES, generate

CKPTFIX = (sys.executable, "-m", "ckptfix")
RELEASE = ("--runtime", "vllm==0.33.0")
BASELINE = "huggingface_hub reads the headers"
CHECK = "check, one release"
COMMANDS = {
    BASELINE: (sys.executable, str(Path(__file__).parent / "parse_headers.py"), "{}"),
    CHECK: (*CKPTFIX, "check", "{}", *RELEASE),
    "check, all known releases of vLLM": (*CKPTFIX, "check", "{}", "--runtime", "vllm"),
    "rewrite --dry-run": (*CKPTFIX, "rewrite", "{}", "--dry-run", *RELEASE),
    "rewrite": (*CKPTFIX, "rewrite", "{}", *RELEASE),
}


@dataclass(frozen=True)
class Ran:
    """One process."""

    seconds: float
    peak: int
    """Bytes of memory."""


def run_once(command: tuple[str, ...], directory: Path) -> Ran:
    """Run to the end; a command that fails ends the benchmark."""
    arguments = [part.format(directory) for part in command]
    start = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors = process.stderr.read().decode() if process.stderr else ""
            sys.exit(f"{' '.join(arguments)} ended with {process.returncode}: {errors}")
    return Ran(seconds, usage.ru_maxrss * 1024)


def measure(directory: Path, rounds: int) -> dict[str, Ran]:
    """Command -> median seconds and highest peak."""
    for command in COMMANDS.values():
        run_once(command, directory)
    ran: dict[str, list[Ran]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            ran[name].append(run_once(command, directory))
    return {
        name: Ran(statistics.median(r.seconds for r in runs), max(r.peak for r in runs))
        for name, runs in ran.items()
    }


def table(measured: dict[str, Ran]) -> str:
    """Markdown."""
    lines = [
        f"| command | median s | of `{BASELINE}` | of `{CHECK}` | peak MB |",
        "|---|---|---|---|---|",
    ]
    base, check = measured[BASELINE].seconds, measured[CHECK].seconds
    for name, ran in measured.items():
        ratios = f"{ran.seconds / base:.2f} | {ran.seconds / check:.2f}"
        lines.append(f"| {name} | {ran.seconds:.2f} | {ratios} | {ran.peak / 1e6:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure commands on large checkpoints.")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["165k", "1m"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where the checkpoints are, or are to stay")
    arguments = parser.parse_args()
    each: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            directory = (arguments.keep or Path(scratch)) / f"ckptfix-{size}"
            if not directory.exists():
                generate(directory, SIZES[size])
            tensors = SIZES[size].tensors
            measured = measure(directory, arguments.rounds)
            each[size] = measured[CHECK].seconds / tensors
            print(f"## {tensors:,} tensors\n\n{table(measured)}\n", flush=True)
    first, last = arguments.sizes[0], arguments.sizes[-1]
    print(f"time per tensor, {CHECK}: {last} is {each[last] / each[first]:.2f} x {first}")


if __name__ == "__main__":
    main()
