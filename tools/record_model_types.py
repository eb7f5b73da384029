"""Record for which model types a release has a config class.

    tools/record_model_types.py RUNTIME VERSION...

Imports each release in the environment of the learner (`place_learner/model_types.py`) and adds its
types to those of its runtime in `src/ckptfix/runtimes/config_classes/types.json`: a type that none
of the releases at hand knows stops all of them.
Exit code 0; 2 if a release cannot be imported.
"""

import argparse
import json
import subprocess
import sys
from typing import Final

from packaging.version import Version

from learn_places import REPOSITORY, in_learner, pinned_transformers, unpacked
from place_learner import sandbox

FILE: Final = REPOSITORY / "src" / "ckptfix" / "runtimes" / "config_classes" / "types.json"


def types_of(runtime: str, version: str) -> list[str]:
    """The types of one release."""
    root = unpacked(runtime, version)
    pin = pinned_transformers(root)
    library = [sandbox.home() / "transformers" / pin] if pin else []
    module = "place_learner.model_types"
    done = in_learner(module, runtime, root, *library, stdout=subprocess.PIPE)
    types: list[str] = json.loads(done.stdout.splitlines()[-1])
    return types


def add(runtime: str, found: dict[str, list[str]]) -> None:
    """Put the types of releases into the file, a type a line."""
    known = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    before = known.get(runtime, {"releases": [], "types": []})
    releases = sorted({*before["releases"], *found}, key=Version)
    types = sorted({*before["types"], *(one for types in found.values() for one in types)})
    known[runtime] = {"releases": releases, "types": types}
    FILE.write_text(json.dumps(dict(sorted(known.items())), indent=0) + "\n", "utf-8")


def main() -> int:
    """Record; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runtime", choices=("vllm", "sglang"))
    parser.add_argument("versions", nargs="+", metavar="VERSION")
    arguments = parser.parse_args()
    try:
        found = {v: types_of(arguments.runtime, v) for v in arguments.versions}
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    add(arguments.runtime, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
