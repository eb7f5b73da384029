"""How time and memory grow with what a small file can hold: n, 2n, 4n of one thing at a time.

python benchmarks/growth.py [NAME...] [--rounds 3] [--scale 1]

Whole processes; the table holds the lowest CPU seconds and the highest peak memory of the rounds,
and by how much each doubling multiplies both, beyond those of a process that finds nothing to do.
Exit code 1 if something grows by more than 2.2 per doubling.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import growth_inputs as of

CKPTFIX = (sys.executable, "-m", "ckptfix")
MOST: Final = 2.2
"""Per doubling."""
NOISE: Final = 0.1, 10_000_000
"""CPU seconds and bytes that do not count: less is measured by chance."""
CHECK = ("check", "{}")
PLAN = ("rewrite", "{}", "--dry-run", "--from-tensors")
MAPPED = ("rewrite", "{}", "--dry-run", "--mapper", "{}/rules.toml")


@dataclass(frozen=True)
class Ran:
    """One process."""

    cpu: float
    """Seconds, in user and kernel mode."""
    peak: int
    """Bytes of memory."""


@dataclass(frozen=True)
class Scenario:
    """Something that a file can hold any number of."""

    what: str
    first: int
    """The smallest number; it is doubled twice."""
    make: of.Make
    command: tuple[str, ...] = CHECK


def _excludes(what: str, make: of.Make, command: tuple[str, ...] = CHECK) -> Scenario:
    return Scenario(f"excludes {what}", 2_500, make, command)


_INSIDE = of.excluding(lambda n: f"*x{n}_proj*")
SCENARIOS = {
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
    "groups": Scenario("excludes `re:.*(x17)_proj`", 500, of.excluding(lambda n: f"re:.*(x{n})_p")),
    "plain": _excludes(
        "that are parts of names",
        of.excluding(lambda n: f"layers.{n % 186}.self_attn.{'qkvo'[n % 4]}_{'proj'[: n % 5]}"),
    ),
    "wrong": _excludes(
        "that name nothing", of.excluding(lambda n: f"layers.{n}.self_attn.{'qkvo'[n % 4]}x")
    ),
    "both": _excludes(
        "`*.17.*up_proj`, as many modules",
        of.excluding(lambda n: f"*.{n // 7}.*{of.PARTS[n % 7]}", grows=True),
    ),
    "inspect": _excludes("`*x17_proj*`, `inspect`", _INSIDE, ("inspect", "{}")),
    "plan": _excludes("`*x17_proj*`, `rewrite --from-tensors`", _INSIDE, PLAN),
    "entries": Scenario(
        "entries that name nothing",
        2_500,
        of.naming(lambda n: f"model.layers.{n}.mlp.w{n % 97}_proj{n}"),
    ),
    "targets": Scenario("targets that name nothing", 2_500, of.targets),
    "modules": Scenario("modules and their entries", 7_000, of.modules),
    "experts": Scenario("experts excluded one by one", 2_048, of.experts),
    "deep-entries": Scenario("parts of each of 16 entry names", 4_000, of.deep_entries),
    "deep-modules": Scenario("modules of 480 parts", 100, of.deep_modules),
    "substr": Scenario("substr rules of a mapper", 600, of.rules("substr", "part{}x"), MAPPED),
    "start": Scenario("prefix rules of a mapper", 600, of.rules("prefix", "part{}x"), MAPPED),
    "regex": Scenario("regex rules of a mapper", 600, of.rules("regex", "part{}x$"), MAPPED),
    "index": Scenario("wrong entries of the index", 250_000, of.index),
    "json": Scenario("the same, `--json`", 250_000, of.index, (*CHECK, "--json")),
}


def run_once(command: tuple[str, ...]) -> Ran:
    """Run to the end; exit code 2 or a signal ends the benchmark."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        errors = process.stderr.read().decode() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with {process.returncode}: {errors}")
    return Ran(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def measure(scenario: Scenario, rounds: int, scale: float) -> Iterator[tuple[int, Ran]]:
    """Number and what it takes."""
    for doubled in (1, 2, 4):
        number = int(scenario.first * scale) * doubled
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch) / "c"
            scenario.make(directory, number)
            command = tuple(part.format(directory) for part in (*CKPTFIX, *scenario.command))
            ran = [run_once(command) for _ in range(rounds)]
        yield number, Ran(min(r.cpu for r in ran), max(r.peak for r in ran))


def growth(start: Ran, before: Ran, after: Ran) -> tuple[float, float]:
    """By how much CPU seconds and memory were multiplied, beyond a start; 0 for next to nothing."""
    cpu = after.cpu - start.cpu, before.cpu - start.cpu
    peak = after.peak - start.peak, before.peak - start.peak
    return (
        cpu[0] / max(cpu[1], 0.01) if cpu[0] > NOISE[0] else 0.0,
        peak[0] / max(peak[1], 1) if peak[0] > NOISE[1] else 0.0,
    )


def idle(rounds: int) -> Ran:
    """A check of a small checkpoint without a fault."""
    with tempfile.TemporaryDirectory() as scratch:
        of.excluding(lambda _: "lm_head")(Path(scratch) / "c", 1)
        ran = [run_once((*CKPTFIX, "check", str(Path(scratch) / "c"))) for _ in range(rounds)]
    return Ran(min(r.cpu for r in ran), max(r.peak for r in ran))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure how time and memory grow.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="multiplies all numbers")
    arguments = parser.parse_args()
    start = idle(arguments.rounds)
    print("| what | n | CPU s | peak MB | a doubling: CPU | memory |\n|---|---|---|---|---|---|")
    print(f"| one exclude, 1,303 modules | 1 | {start.cpu:.2f} | {start.peak / 1e6:.0f} | - | - |")
    worst = 0.0
    for name in arguments.names or SCENARIOS:
        scenario = SCENARIOS[name]
        before = None
        for number, ran in measure(scenario, arguments.rounds, arguments.scale):
            factors = growth(start, before, ran) if before else (0.0, 0.0)
            worst = max(worst, *factors)
            shown = " | ".join(f"{factor:.2f}" if factor else "-" for factor in factors)
            measured = f"{ran.cpu:.2f} | {ran.peak / 1e6:.0f}"
            print(f"| {scenario.what} | {number:,} | {measured} | {shown} |", flush=True)
            before = ran
    print(f"\nlargest growth per doubling: {worst:.2f}")
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
