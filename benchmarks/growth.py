"""How time and memory grow with what a small file can hold: n, 2n, 4n of one thing at a time.

python benchmarks/growth.py [NAME...] [--rounds 5] [--scale 1]

Whole processes. Every round runs the three sizes of a series and its baseline once each, so that
all of them see the same machine: the same command on the same checkpoint with hardly any of what
grows. The table holds the medians of the rounds. A doubling multiplies what a process takes beyond
its baseline; what is too small to be distinguished from chance is not judged. Exit code 1 if
something grows by more than 2.2 per doubling. CPU seconds depend on the machine: which series miss
their goal is only reported.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import growth_inputs as of

CKPTFIX = (sys.executable, "-m", "ckptfix")
MOST: Final = 2.2
"""Per doubling."""
CPU_NOISE: Final = 0.1
"""CPU seconds beyond the baseline; a doubling from less is measured by chance."""
MEMORY_NOISE: Final = 8_000_000
"""Bytes, likewise."""
GOAL: Final = 2.0
"""CPU seconds, of 10,000 wildcards on 1,303 modules."""
CHECK = ("check", "{}")
PLAN = ("rewrite", "{}", "--dry-run", "--from-tensors")
MAPPED = ("rewrite", "{}", "--dry-run", "--mapper", "{}/rules.toml")

_RUN: Final = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
errors = process.stderr.read()
_, status, usage = os.wait4(process.pid, 0)
code = os.waitstatus_to_exitcode(status)
if code == 1 and b"Traceback" in errors:
    code = 70
print(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.stderr.buffer.write(errors if code not in (0, 1) else b"")
"""
"""Starts the process from one that is small: a child inherits the peak of the one that forks it.

A traceback ends a process with 1 too, as findings do.
"""


@dataclass(frozen=True)
class Ran:
    """One process, or the medians of several."""

    cpu: float
    """Seconds, in user and kernel mode."""
    peak: int
    """Bytes of memory."""


@dataclass(frozen=True)
class Series:
    """Something that a file can hold any number of."""

    what: str
    first: int
    """The smallest number; it is doubled twice."""
    make: of.Make
    command: tuple[str, ...] = CHECK
    few: int = 1
    """What the baseline has of it: enough that the same code runs."""
    goal: float = 0.0
    """CPU seconds of the largest number; 0 without one."""


def _excludes(what: str, make: of.Make, command: tuple[str, ...] = CHECK) -> Series:
    return Series(f"excludes {what}", 2_500, make, command, goal=GOAL if command == CHECK else 0)


_INSIDE = of.excluding(lambda n: f"*x{n}_proj*")
SERIES = {
    "prefix": _excludes(
        "`model.layers.1.x17*`", of.excluding(lambda n: f"model.layers.{n % 186}.x{n}*")
    ),
    "inside": _excludes("`*x17_proj*`", _INSIDE),
    "middle": _excludes(
        "`model.*.1*q_proj17`", of.excluding(lambda n: f"model.*.{n % 186}*q_proj{n}")
    ),
    "hits": _excludes("`*s.17*`", of.excluding(lambda n: f"*s.{n}*")),
    "all": _excludes("that hit every module", of.excluding(of.hits_all)),
    "classes": _excludes("`*.[a-z]x17?_proj`", of.excluding(lambda n: f"*.[a-z]x{n}?_proj")),
    "regexes": _excludes("`re:.*x17_proj`", of.excluding(lambda n: f"re:.*x{n}_proj")),
    "groups": Series("excludes `re:.*(x17)_proj`", 500, of.excluding(lambda n: f"re:.*(x{n})_p")),
    "plain": _excludes(
        "that are parts of names",
        of.excluding(lambda n: f"layers.{n % 186}.self_attn.{'qkvo'[n % 4]}_{'proj'[: n % 5]}"),
    ),
    "wrong": _excludes(
        "that name nothing", of.excluding(lambda n: f"layers.{n}.self_attn.{'qkvo'[n % 4]}x")
    ),
    "many": Series("excludes `*x17_proj*`", 5_000, _INSIDE),
    "both": Series(
        "excludes `*.17.*up_proj`, as many modules",
        2_500,
        of.excluding(lambda n: f"*.{n // 7}.*{of.PARTS[n % 7]}", grows=True),
        few=14,
    ),
    "inspect": _excludes("`*x17_proj*`, `inspect`", _INSIDE, ("inspect", "{}")),
    "plan": _excludes("`*x17_proj*`, `rewrite --from-tensors`", _INSIDE, PLAN),
    "entries": Series(
        "entries that name nothing",
        2_500,
        of.naming(lambda n: f"model.layers.{n}.mlp.w{n % 97}_proj{n}"),
    ),
    "targets": Series("targets that name nothing", 2_500, of.targets),
    "modules": Series("modules and their entries", 7_000, of.modules, few=14),
    "experts": Series("experts excluded one by one", 4_096, of.experts, few=32),
    "deep-entries": Series("parts of each of 16 entry names", 4_000, of.deep_entries),
    "deep-modules": Series("modules of 480 parts", 400, of.deep_modules),
    "substr": Series("substr rules of a mapper", 600, of.rules("substr", "part{}x"), MAPPED),
    "start": Series("prefix rules of a mapper", 600, of.rules("prefix", "part{}x"), MAPPED),
    "regex": Series("regex rules of a mapper", 600, of.rules("regex", "part{}x$"), MAPPED),
    "index": Series("wrong entries of the index", 250_000, of.index, few=12),
    "json": Series("the same, `--json`", 250_000, of.index, (*CHECK, "--json"), few=12),
}


def run_once(command: Sequence[str]) -> Ran:
    """Run to the end; exit code 2 or a signal ends the benchmark."""
    ran = subprocess.run(
        (sys.executable, "-I", "-S", "-c", _RUN, *command),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},  # an installation has its bytecode
        capture_output=True,
        check=True,
    )
    code, cpu, peak = ran.stdout.split()
    if int(code) not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with {int(code)}: {ran.stderr.decode()}")
    return Ran(float(cpu), int(peak) * 1024)


def measure(series: Series, rounds: int, scale: float) -> tuple[list[int], list[Ran]]:
    """Numbers, and the medians of what each takes; the first number is that of the baseline."""
    numbers = [series.few, *(int(series.first * scale) * doubled for doubled in (1, 2, 4))]
    with tempfile.TemporaryDirectory() as scratch:
        commands = []
        for number in numbers:
            directory = Path(scratch) / str(number)
            series.make(directory, number)
            commands.append([part.format(directory) for part in (*CKPTFIX, *series.command)])
        run_once(commands[0])  # fills the page cache
        ran = [[run_once(command) for command in commands] for _ in range(rounds)]
    medians = [
        Ran(statistics.median(r.cpu for r in each), int(statistics.median(r.peak for r in each)))
        for each in zip(*ran, strict=True)
    ]
    return numbers, medians


def growth(start: Ran, before: Ran, after: Ran) -> tuple[float, float]:
    """By how much CPU seconds and memory were multiplied, beyond a start; 0 for next to nothing."""
    cpu = before.cpu - start.cpu, after.cpu - start.cpu
    peak = before.peak - start.peak, after.peak - start.peak
    return (
        cpu[1] / cpu[0] if cpu[0] > CPU_NOISE else 0.0,
        peak[1] / peak[0] if peak[0] > MEMORY_NOISE else 0.0,
    )


def table(series: Series, numbers: Sequence[int], ran: Sequence[Ran]) -> float:
    """Print the rows of a series; the largest growth per doubling."""
    worst = 0.0
    for at, (number, found) in enumerate(zip(numbers, ran, strict=True)):
        factors = growth(ran[0], ran[at - 1], found) if at > 1 else (0.0, 0.0)
        worst = max(worst, *factors)
        shown = " | ".join(f"{factor:.2f}" if factor else "-" for factor in factors)
        measured = f"{found.cpu:.2f} | {found.peak / 1e6:.0f}"
        print(f"| {series.what} | {number:,} | {measured} | {shown} |", flush=True)
    return worst


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure how time and memory grow.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERIES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="multiplies all numbers")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in SERIES]:
        parser.error(f"unknown series: {', '.join(unknown)}; known are {', '.join(SERIES)}")
    print("| what | n | CPU s | peak MB | a doubling: CPU | memory |\n|---|---|---|---|---|---|")
    grew, slow = {}, {}
    for name in arguments.names or SERIES:
        series = SERIES[name]
        numbers, ran = measure(series, arguments.rounds, arguments.scale)
        grew[series.what] = table(series, numbers, ran)
        if series.goal and ran[-1].cpu > series.goal:
            slow[series.what] = ran[-1].cpu
    grown = [f"{what} ({factor:.2f})" for what, factor in grew.items() if factor > MOST]
    late = [f"{what} ({cpu:.2f} s)" for what, cpu in slow.items()]
    print(f"\nover {GOAL:.0f} CPU seconds: {'; '.join(late) or 'none'}")
    print(f"over {MOST} per doubling: {'; '.join(grown) or 'none'}")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
