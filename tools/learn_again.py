"""What `learn_settings.py` and `learn_sizes.py` share: learned classes are built again, changed.

Both take the configs that `learn_places.py` built the classes with (`--learned`, its `--results`),
let `place_learner` build each class again, and write a file for each release. Architectures that
were learned in another run stay in the file. A run that was cut off goes on where it was.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from learn_places import REPOSITORY, in_learner, pinned_transformers, unpacked, used_transformers
from place_learner import sandbox

Records = Callable[[str, str, Path], Iterator[tuple[str, dict[str, Any]]]]
"""Runtime, version, results -> (architecture, what is written of it)."""


def learn(arguments: argparse.Namespace, root: Path, pin: str, what: str) -> None:
    """Build the classes again."""
    command: list[str | Path] = [arguments.runtime, root, arguments.learned]
    command += [f"--{what}", arguments.results, "--seconds", "1500"]
    if pin:
        command += ["--transformers", sandbox.home() / "transformers" / pin]
    for architecture in arguments.architectures:
        command += ["--only", architecture]
    in_learner("place_learner", *command)


def built(results: Path) -> Iterator[dict[str, Any]]:
    """The results of all classes that were built."""
    for path in sorted(results.glob("*.json")):
        result = json.loads(path.read_text("utf-8"))
        if result["status"] == "built":
            yield result


def write(path: Path, head: Mapping[str, str], found: Mapping[str, Any]) -> None:
    """An architecture a line, so that a diff can be read."""
    before = json.loads(path.read_text("utf-8"))["architectures"] if path.exists() else {}
    lines = [f"{json.dumps(n)}: {json.dumps(r)}" for n, r in sorted({**before, **found}.items())]
    start = json.dumps(head)[:-1]
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{start}, "architectures": {{\n' + ",\n".join(lines) + "\n}}\n", "utf-8")


def run(description: str, what: str, records: Records) -> int:
    """Learn and write `src/ckptfix/runtimes/RUNTIME/WHAT/VERSION.json`; the exit code."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("runtime", choices=("vllm", "sglang"))
    parser.add_argument("version")
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE")
    parser.add_argument("--learned", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--write-only", action="store_true", help="take the results as they are")
    arguments = parser.parse_args()
    runtime, version = arguments.runtime, arguments.version
    try:
        root = unpacked(runtime, version)
        pin = pinned_transformers(root)
        if not arguments.write_only:
            learn(arguments, root, pin, what)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    head = {"runtime": runtime, "version": version, "transformers": used_transformers(pin)}
    found = dict(records(runtime, version, arguments.results))
    folder = REPOSITORY / "src" / "ckptfix" / "runtimes" / runtime / what
    write(folder / f"{version}.json", head, found)
    print(f"{len(found)} architectures")
    return 0
