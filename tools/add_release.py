"""Add releases of a runtime, from their wheels: only data changes.

    tools/add_release.py RUNTIME [VERSION...] [--root FOLDER] [--results FOLDER] [--configs FOLDER]

Without a VERSION, every release of the package index from the oldest known one on that was not
learned: those between which most are missing first, because a class that does alike before and
after need not be built. Of each it fetches the Python files of the wheel, unless FOLDER has them
(`vllm-0.33.0`, with the output of `sha256sum WHEEL` in FOLDER.sha256), and deletes them in the end.
In this order: the profile of the release; what its lookup functions answer about ModelOpt's
metadata, compared with ours; where its classes put modules (`learn_places.py`, which --results and
--configs are for); docs. A run that was cut off goes on where it was.
Exit code 0; 1 if its lookup functions answer otherwise: then it needs a row in the `releases.py` of
its runtime; 2 if it cannot be read or learned, and the others after it are not tried.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from packaging.version import Version

from ckptfix.runtimes.learned.store import learned_releases
from ckptfix.runtimes.profile_store import known_releases
from learn_places import REPOSITORY, SETUP
from place_learner import neighbours, sandbox

TOOLS: Final = REPOSITORY / "tools"
_AVAILABLE: Final = "Available versions:"
LOOKUPS: Final = REPOSITORY / "tests" / "data" / "conformance" / "modelopt.jsonl.gz"


def fetched(runtime: str, version: str) -> Path:
    """The folder with the Python files of a wheel, which is fetched where it is missing."""
    root = sandbox.home() / "releases" / f"{runtime}-{version}"
    if not (root / f"{root.name}.dist-info").is_dir():
        subprocess.run([SETUP, runtime, version], check=True)
    return root


def run(tool: str, *arguments: str | Path) -> int:
    """Run one of the tools; its exit code."""
    print(f"== {tool}", flush=True)
    return subprocess.run([sys.executable, TOOLS / tool, *arguments], check=False).returncode


def add(runtime: str, version: str, root: Path, learner: list[str | Path]) -> int:
    """Write everything about an unpacked release; the exit code."""
    if run("extract_profiles.py", root) or run(
        "record_modelopt_lookups.py", LOOKUPS, LOOKUPS, root
    ):
        return 2
    agrees = run("conformance.py", LOOKUPS) == 0
    if run("learn_places.py", runtime, version, "--root", root, *learner):
        return 2
    if run("generate_docs.py"):
        return 2
    if not agrees:
        print(f"{runtime} {version} looks names up in another way: see docs/runtimes.md")
        return 1
    print(f"{runtime} {version} is added: review the changes and run `make test`")
    return 0


def missing(runtime: str) -> list[str]:
    """The releases that were not learned, in the order in which they are added."""
    command = [sys.executable, "-m", "pip", "index", "versions", runtime]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    [line] = [line for line in shown.splitlines() if line.startswith(_AVAILABLE)]
    listed = (version.strip() for version in line.removeprefix(_AVAILABLE).split(","))
    oldest = Version(known_releases(runtime)[0])
    every = sorted((v for v in listed if Version(v) >= oldest), key=Version)
    return neighbours.by_halves(every, learned_releases(runtime))


def add_one(arguments: argparse.Namespace, version: str) -> int:
    """Fetch, read, learn, write; the exit code."""
    try:
        root = arguments.root or fetched(arguments.runtime, version)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    learner: list[str | Path] = ["--results", arguments.results] if arguments.results else []
    for folder in arguments.configs:
        learner += ["--configs", folder]
    code = add(arguments.runtime, version, root.resolve(), learner)
    if code != 2 and not arguments.root and not root.is_symlink():  # what it points to is not ours
        shutil.rmtree(root)
        root.with_name(f"{root.name}.sha256").unlink(missing_ok=True)
    return code


def main() -> int:
    """Add each release; the highest of their exit codes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runtime", choices=("vllm", "sglang"))
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="where the wheel is unpacked")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="of the learner")
    parser.add_argument("--configs", type=Path, action="append", default=[], metavar="FOLDER")
    arguments = parser.parse_args()
    if len(arguments.versions) != 1 and (arguments.root or arguments.results):
        parser.error("--root and --results are of one VERSION")
    worst = 0
    for version in arguments.versions or missing(arguments.runtime):
        worst = max(worst, add_one(arguments, version))
        if worst > 1:
            break
    return worst


if __name__ == "__main__":
    sys.exit(main())
