"""Start-up as whole processes, next to `python -c pass`, `import typer` and `hf --version`.

Every command runs in turn, ROUNDS times; the table holds medians and ratios of the same run.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 11
BIN = Path(sys.executable).parent
NANO_VL = Path(__file__).parents[1] / "tests" / "data" / "nanovl-mixed"

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    'python -c "import typer"': [sys.executable, "-c", "import typer"],
    "hf --version": [str(BIN / "hf"), "--version"],
    "ckptfix --version": [str(BIN / "ckptfix"), "--version"],
    "ckptfix --help": [str(BIN / "ckptfix"), "--help"],
    "ckptfix check nanovl-mixed": [str(BIN / "ckptfix"), "check", str(NANO_VL)],
}
BASELINE = 'python -c "import typer"'


def run_once(command: list[str]) -> float:
    """Seconds for one process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    for command in COMMANDS.values():
        run_once(command)  # fills the page cache and writes bytecode
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            seconds[name].append(run_once(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"| command | median ms | of `{BASELINE}` |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| `{name}` | {median * 1000:.0f} | {median / medians[BASELINE]:.2f} |")


if __name__ == "__main__":
    main()
