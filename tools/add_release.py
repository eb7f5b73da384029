"""Add a release of a runtime, from its wheel: only data changes.

    tools/add_release.py RUNTIME VERSION [--root FOLDER] [--results FOLDER] [--configs FOLDER]

Fetches the Python files of the wheel, unless FOLDER has them (`vllm-0.33.0`, with the output of
`sha256sum WHEEL` in FOLDER.sha256), and deletes them in the end. In this order: the profile of the
release; what its lookup functions answer about ModelOpt's metadata, compared with ours; where its
classes put modules (`learn_places.py`, which --results and --configs are for); docs. A run that was
cut off goes on where it was.
Exit code 0; 1 if its lookup functions answer otherwise: then it needs a row in the `releases.py` of
its runtime; 2 if it cannot be read or learned.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from learn_places import REPOSITORY, SETUP
from place_learner import sandbox

TOOLS: Final = REPOSITORY / "tools"
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


def main() -> int:
    """Fetch, read, learn, write; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runtime", choices=("vllm", "sglang"))
    parser.add_argument("version")
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="where the wheel is unpacked")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="of the learner")
    parser.add_argument("--configs", type=Path, action="append", default=[], metavar="FOLDER")
    arguments = parser.parse_args()
    try:
        root = (arguments.root or fetched(arguments.runtime, arguments.version)).resolve()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    learner: list[str | Path] = ["--results", arguments.results] if arguments.results else []
    for folder in arguments.configs:
        learner += ["--configs", folder]
    code = add(arguments.runtime, arguments.version, root, learner)
    if code != 2 and not arguments.root:
        shutil.rmtree(root)
        root.with_name(f"{root.name}.sha256").unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
