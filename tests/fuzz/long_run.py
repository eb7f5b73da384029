"""`make fuzz`: new inputs for as long as you like, every target in a process of its own.

FUZZ_SECONDS is the time in all. What breaks a promise is written to .hypothesis/fuzz/TARGET/ and
reported; a target goes on after it, so that one run finds more than one thing.
"""

import hashlib
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.executing import execute
from tests.fuzz.guard import HangError
from tests.fuzz.targets import TARGETS

MEMORY = 2 << 30
"""Address space of a process that executes; a command that wants more fails its target."""
KEPT = Path(".hypothesis") / "fuzz"
_BATCH = 200


def fuzz(name: str, seconds: float) -> int:
    """Executions of one target for some seconds; prints their number and what was found."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target = TARGETS[name]
    found: dict[str, str] = {}
    executions = 0
    end = time.monotonic() + seconds

    def one(data: bytes, command: tuple[str, ...]) -> None:
        nonlocal executions
        if time.monotonic() > end:
            return
        executions += 1
        try:
            execute(place, name, data, command)
        except (Exception, HangError) as error:  # noqa: BLE001 - any at all is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            signature = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
            if signature not in found:
                found[signature] = f"{' '.join(command)}: {str(error)[:300]!r}"
                _keep(name, data)

    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        place = Path(folder).resolve()
        while time.monotonic() < end:
            batch = settings(
                max_examples=_BATCH,
                database=None,
                deadline=None,
                derandomize=False,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            inputs = given(target.inputs(name), st.sampled_from(target.commands))
            seed(random.getrandbits(64))(batch(inputs(one)))()
    print(f"{name:<18}{executions:>9,} executions  {len(found):>3} found")
    for signature, failure in found.items():
        print(f"  {signature}: {failure}")
    return 1 if found else 0


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _keep(name: str, data: bytes) -> None:
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> int:
    """Run every target, as many at once as there are processors."""
    if len(sys.argv) == 3:
        return fuzz(sys.argv[1], float(sys.argv[2]))
    workers = os.cpu_count() or 1
    seconds = float(os.environ.get("FUZZ_SECONDS", "600")) * workers / len(TARGETS)

    def run(name: str) -> int:
        command = [sys.executable, "-m", "tests.fuzz.long_run", name, str(seconds)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        print(done.stdout, end="", flush=True)
        if done.returncode not in (0, 1):
            print(f"{name}: ended with {done.returncode}\n{done.stderr[-3000:]}", flush=True)
        return done.returncode

    with ThreadPoolExecutor(workers) as pool:
        return max(map(abs, pool.map(run, TARGETS)))


if __name__ == "__main__":
    sys.exit(main())
