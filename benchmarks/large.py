"""Commands on generated checkpoints as whole processes, next to a parser of the same headers.

python benchmarks/large.py [--sizes 1k 25k 165k 1m] [--rounds 3] [--keep DIR]

Everything of one size runs in turn, ROUNDS times after one round that fills the page cache. The
table holds medians of CPU seconds (user and system) and of seconds by the clock, the highest peak
memory, and ratios of CPU seconds to the clean check of the same size and to the parser.
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

from generate import SIZES, STATES

HERE = Path(__file__).parent
CKPTFIX = (sys.executable, "-m", "ckptfix")
BASELINE = ("clean", "huggingface_hub reads the headers")
CLEAN = ("clean", "check")
COMMANDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("names", "check"): (*CKPTFIX, "check", "{}"),
    ("names", "check, vllm 0.17.1"): (*CKPTFIX, "check", "{}", "--runtime", "vllm==0.17.1"),
    ("names", "check, JSON"): (*CKPTFIX, "check", "{}", "--format", "json"),
    ("names", "rewrite --dry-run"): (*CKPTFIX, "rewrite", "{}", "--dry-run"),
    ("names", "rewrite"): (*CKPTFIX, "rewrite", "{}"),
    ("expert", "check"): (*CKPTFIX, "check", "{}"),
    ("expert", "rewrite --dry-run"): (*CKPTFIX, "rewrite", "{}", "--dry-run"),
    CLEAN: (*CKPTFIX, "check", "{}"),
    ("clean", "check, vllm 0.33.0"): (*CKPTFIX, "check", "{}", "--runtime", "vllm==0.33.0"),
    ("clean", "rewrite --dry-run"): (*CKPTFIX, "rewrite", "{}", "--dry-run"),
    BASELINE: (sys.executable, str(HERE / "parse_headers.py"), "{}"),
}
AFTERWARDS = {("names", "rewrite"): (*CKPTFIX, "rewrite", "{}", "--undo")}
"""Not measured: what brings the checkpoint back to its state."""


@dataclass(frozen=True)
class Ran:
    """One process."""

    cpu: float
    """Seconds."""
    wall: float
    """Seconds."""
    peak: int
    """Bytes of memory."""


def run_once(command: tuple[str, ...], directory: Path) -> Ran:
    """Run to the end; 2, for a command that could not do its work, ends the benchmark."""
    arguments = [part.format(directory) for part in command]
    start = time.perf_counter()
    with subprocess.Popen(
        arguments,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},  # an installation has its bytecode
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            message = process.stderr.read().decode() if process.stderr else ""
            sys.exit(f"{' '.join(arguments)} ended with {process.returncode}: {message}")
    return Ran(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)


def measure(directories: dict[str, Path], rounds: int) -> dict[tuple[str, str], Ran]:
    """(state, command) -> medians, and the highest peak."""
    ran: dict[tuple[str, str], list[Ran]] = {key: [] for key in COMMANDS}
    for _ in range(rounds + 1):
        for key, command in COMMANDS.items():
            ran[key].append(run_once(command, directories[key[0]]))
            if key in AFTERWARDS:
                run_once(AFTERWARDS[key], directories[key[0]])
    return {key: summary(runs[1:]) for key, runs in ran.items()}


def summary(runs: list[Ran]) -> Ran:
    """Of several rounds."""
    return Ran(
        statistics.median(run.cpu for run in runs),
        statistics.median(run.wall for run in runs),
        max(run.peak for run in runs),
    )


def table(measured: dict[tuple[str, str], Ran]) -> str:
    """Markdown."""
    lines = [
        "| state | command | CPU s | of the clean check | of huggingface_hub | wall s | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    base, clean = measured[BASELINE].cpu, measured[CLEAN].cpu
    for (state, name), ran in measured.items():
        ratios = f"{ran.cpu / clean:.2f} | {ran.cpu / base:.2f}"
        row = f"{state} | {name} | {ran.cpu:.2f} | {ratios} | {ran.wall:.2f}"
        lines.append(f"| {row} | {ran.peak / 1e6:.0f} |")
    return "\n".join(lines)


def made(directory: Path, size: str) -> dict[str, Path]:
    """State -> checkpoint. Made in processes of their own: a child's peak counts its parent's."""
    directories: dict[str, Path] = {
        state: directory / f"ckptfix-{size}-{state}" for state in STATES
    }
    for state, path in directories.items():
        if not path.exists():
            generate = (sys.executable, str(HERE / "generate.py"), str(path))
            subprocess.run((*generate, "--size", size, "--state", state), check=True)
    return directories


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure commands on large checkpoints.")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where the checkpoints are, or are to stay")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            directories = made(arguments.keep or Path(scratch), size)
            print(f"## {size}\n\n{table(measure(directories, arguments.rounds))}\n", flush=True)


if __name__ == "__main__":
    main()
