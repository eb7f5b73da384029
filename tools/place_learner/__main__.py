"""`python -m place_learner RUNTIME ROOT RESULTS`: build all, write RESULTS/ARCHITECTURE.json.

With `--settings FOLDER` it does so for what `settings.py` finds, from the configs in RESULTS, with
`--sizes` and `--lists` for `sizes.py` and `lists.py`.

Runs in the environment of `setup.sh`, with `tools` on the path. An architecture that has a file is
left alone, so a run that was cut off goes on.
"""

import argparse
import importlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from place_learner import sandbox

SECONDS = 150.0


def main() -> int:
    """Learn; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runtime", choices=("vllm", "sglang"))
    parser.add_argument("root", type=Path, help="the unpacked wheel")
    parser.add_argument("results", type=Path)
    parser.add_argument("--transformers", type=Path, help="folder with the release it pins")
    parser.add_argument("--configs", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--other", type=Path, help="results of another runtime, for its configs")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of an architecture")
    parser.add_argument("--quick", action="store_true", help="rows only: one config, unquantized")
    parser.add_argument("--only", action="append", default=[], metavar="ARCHITECTURE")
    parser.add_argument("--settings", type=Path, metavar="FOLDER", help="values that stop a class")
    parser.add_argument("--sizes", type=Path, metavar="FOLDER", help="sizes that a class expects")
    parser.add_argument("--lists", type=Path, metavar="FOLDER", help="numbers of blocks of towers")
    arguments = parser.parse_args()
    sandbox.prepare(arguments.transformers)
    from place_learner import configs, forks

    runtime = runtime_of(arguments.runtime, arguments.root.resolve())
    again = [what for what in ("settings", "sizes", "lists") if getattr(arguments, what)]
    if again:
        folder = getattr(arguments, again[0])
        one = partial(_again, again[0], runtime, arguments.results)
    else:
        real = configs.published(arguments.configs)
        folder, one = arguments.results, partial(_learn, runtime, real, arguments)
    forks.each(folder, arguments.only or runtime.architectures(), one, seconds=arguments.seconds)
    sys.stdout.flush()
    os._exit(0)  # triton's bindings complain at length when Python ends in order


def _learn(
    runtime: Any, real: Any, arguments: argparse.Namespace, architecture: str
) -> dict[str, Any]:
    from place_learner import learning, needs

    other = _other(arguments.other, architecture)
    found = learning.learn(runtime, architecture, real, other, quick=arguments.quick)
    if found.get("made_up") and found["source"] != "invented":
        found["needs"] = needs.paths(runtime, found["config"], found["made_up"])
    if found.get("source") == "real":
        others = needs.of_other_default(runtime, found["config"], found["values"])
        found["needs"] = [*found.get("needs", ()), *others]
    return found


def _again(what: str, runtime: Any, results: Path, architecture: str) -> dict[str, Any]:
    known = json.loads((results / f"{architecture}.json").read_text("utf-8"))
    if known["status"] != "built" or known["source"] == "invented":
        return {"architecture": architecture, "status": "skipped", "error": "no config of its own"}
    from place_learner import configs

    used = configs.Candidate(known["source"], known["config_from"], known["config"])
    configs.register_absent_class(architecture, used, runtime.config_registry())
    learn = importlib.import_module(f"place_learner.{what}").learn
    found: dict[str, Any] = learn(runtime, known)
    return found


def runtime_of(name: str, root: Path) -> Any:
    """The runtime of an unpacked wheel, which is imported."""
    if name == "vllm":
        from place_learner.vllm_runtime import VllmRuntime

        return VllmRuntime(root)
    from place_learner.sglang_runtime import SglangRuntime

    return SglangRuntime(root)


def _other(folder: Path | None, architecture: str) -> Any:
    """The config with which another runtime built this architecture, or None."""
    from place_learner.configs import Candidate

    path = (folder or Path("/nonexistent")) / f"{architecture}.json"
    if not path.exists():
        return None
    result = json.loads(path.read_text("utf-8"))
    if result["status"] != "built" or "learn_invented" in json.dumps(result["config"]):
        return None
    return Candidate(result["source"], result["config_from"], result["config"])


if __name__ == "__main__":
    sys.exit(main())
