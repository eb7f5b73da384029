"""Start-up as whole processes, next to `python -c pass`, `import typer` and `hf --version`.

Every command runs in turn, ROUNDS times; the table holds medians of CPU seconds, which other work
on the machine changes least, and ratios of the same run. Exit code 1 if a goal is missed.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

ROUNDS: Final = 11
BIN: Final = Path(sys.executable).parent
NANO_VL: Final = Path(__file__).parents[1] / "tests" / "data" / "nanovl-mixed"
CKPTFIX: Final = (sys.executable, "-m", "ckptfix")

BASELINE: Final = "python -c pass"
COMMANDS: Final = {
    BASELINE: (sys.executable, "-c", "pass"),
    'python -c "import typer"': (sys.executable, "-c", "import typer"),
    "hf --version": (str(BIN / "hf"), "--version"),
    "ckptfix --version": (*CKPTFIX, "--version"),
    "ckptfix --help": (*CKPTFIX, "--help"),
    "ckptfix check nanovl-mixed": (*CKPTFIX, "check", str(NANO_VL)),
}
GOALS: Final = {
    "ckptfix --version": 6.0,
    "ckptfix --help": 6.0,
    "ckptfix check nanovl-mixed": 11.0,
}
"""Times the baseline."""


def run_once(command: tuple[str, ...]) -> float:
    """CPU seconds of one process, in user and kernel mode."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # an installation has its bytecode
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    for command in COMMANDS.values():
        run_once(command)  # fills the page cache and writes bytecode
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            seconds[name].append(run_once(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: median / medians[BASELINE] for name, median in medians.items()}
    print(f"| command | CPU ms | of `{BASELINE}` | goal |\n|---|---|---|---|")
    for name, ratio in ratios.items():
        goal = GOALS.get(name)
        against_goal = (
            "-" if goal is None else f"{goal:.0f}, {'met' if ratio <= goal else '**not met**'}"
        )
        print(f"| `{name}` | {medians[name] * 1000:.0f} | {ratio:.1f} | {against_goal} |")
    sys.exit(any(ratios[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    main()
