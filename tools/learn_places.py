"""Learn where the model classes of a runtime release put the modules of a checkpoint.

    tools/learn_places.py RUNTIME VERSION [ARCHITECTURE...] [--configs FOLDER] [--results FOLDER]

Makes the learner's environment where it is missing, fetches the Python files of the wheel, builds
every registered class there (`place_learner`), and writes what it did under
`src/ckptfix/runtimes/RUNTIME/learned/`. Of a release between two that were learned, a class that
does alike in both is not built, unless --all is given. If architectures are named, the others stay
as they are recorded. Published configs are taken from FOLDER/<name>/config.json; none of them is
kept. A run that was cut off goes on where it was: results are in $LEARN_HOME/learn/results unless
--results says otherwise.
Exit code 0; 2 if the environment or the runtime cannot be used.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ckptfix.runtimes.profile_store import known_releases, load_profile
from place_learner import neighbours, sandbox, writer

REPOSITORY: Final = Path(__file__).parents[1]
SHARED: Final = REPOSITORY.parent / "shared"
PATHS: Final = (
    REPOSITORY / "tools",
    REPOSITORY / "src" / "ckptfix" / "installed" / "script",
)
SETUP: Final = REPOSITORY / "tools" / "place_learner" / "setup.sh"
_PIN: Final = re.compile(r"^Requires-Dist: transformers==([\w.]+)", re.MULTILINE)
_BEFORE_5: Final = re.compile(
    r"^Requires-Dist: transformers[^;\s]*<5(?:\.0)*(?=[,;\s]|\Z)", re.MULTILINE
)
LAST_BEFORE_5: Final = "4.57.6"
"""Of transformers; `setup.sh` installs the same."""


def unpacked(runtime: str, version: str) -> Path:
    """The folder with the Python files of a release; fetched where it is missing."""
    home = sandbox.home()
    places = [home / "releases" / f"{runtime}-{version}", home / runtime]
    for place in places:
        if (place / f"{runtime}-{version}.dist-info").is_dir():
            return place
    subprocess.run([SETUP, runtime, version], check=True)
    return places[0]


def pinned_transformers(root: Path) -> str:
    """The release of transformers that a runtime insists on; empty where it takes a new one.

    Of a runtime that takes none of transformers 5, the newest that it takes.
    """
    [metadata] = root.glob("*.dist-info/METADATA")
    text = metadata.read_text("utf-8")
    found = _PIN.search(text)
    return found[1] if found else LAST_BEFORE_5 if _BEFORE_5.search(text) else ""


def used_transformers(pin: str) -> str:
    """The release of transformers whose configs and names are used."""
    folder = sandbox.home() / "transformers" / pin if pin else sandbox.home() / "venv"
    pattern = "*.dist-info" if pin else "lib/*/site-packages/*.dist-info"
    found = sorted(folder.glob(pattern))
    names = [path.name for path in found if path.name.startswith("transformers-")]
    return names[0].removeprefix("transformers-").removesuffix(".dist-info") if names else pin


def published_configs(folders: list[Path]) -> list[Path]:
    """Folders with configs: the given ones, and those of the reference data where it is there.

    Fixtures whose layout is that of a published checkpoint count as published.
    """
    shared = [SHARED / "real-configs", *sorted((SHARED / "fixtures").glob("nano*"))]
    return [*folders, *(folder for folder in shared if folder.is_dir())]


def in_learner(
    module: str, *arguments: str | Path, stdout: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module of the learner in its own environment.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [sandbox.home() / "venv" / "bin" / "python", "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    return subprocess.run(command, check=True, env=environment, stdout=stdout, text=True)


def learn(arguments: argparse.Namespace, root: Path, results: Path, pin: str) -> None:
    """Learn what is not settled."""
    command: list[str | Path] = [arguments.runtime, root, results]
    if pin:
        command += ["--transformers", sandbox.home() / "transformers" / pin]
    for folder in published_configs(arguments.configs):
        command += ["--configs", folder]
    if arguments.other:
        command += ["--other", arguments.other]
    names: Iterable[str] = arguments.architectures
    all_of_them = arguments.all or arguments.version not in known_releases(arguments.runtime)
    if not names and not all_of_them:
        registered = load_profile(arguments.runtime, arguments.version).architectures.keys()
        names = neighbours.to_build(arguments.runtime, arguments.version, registered)
        if not names:
            return  # without a name the learner would build all of them
    for name in names:
        command += ["--only", name]
    in_learner("place_learner", *command)


def main() -> int:
    """Learn and write; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runtime", choices=("vllm", "sglang"))
    parser.add_argument("version")
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE")
    parser.add_argument("--configs", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--results", type=Path, metavar="FOLDER")
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="where the wheel is unpacked")
    parser.add_argument("--other", type=Path, help="results of the other runtime, for its configs")
    parser.add_argument("--all", action="store_true", help="build what the neighbours do alike")
    parser.add_argument("--write-only", action="store_true", help="take the results as they are")
    arguments = parser.parse_args()
    runtime, version = arguments.runtime, arguments.version
    default = sandbox.home() / "learn" / "results" / f"{runtime}-{version}"
    results = (arguments.results or default).resolve()
    try:
        root = arguments.root or unpacked(runtime, version)
        pin = pinned_transformers(root)
        if not arguments.write_only:
            learn(arguments, root, results, pin)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    used = used_transformers(pin)
    built, found = writer.release_of(runtime, version, used, writer.read_results(results))
    folder = REPOSITORY / "src" / "ckptfix" / "runtimes" / runtime / "learned"
    if arguments.architectures:
        release = writer.merged(folder, built)
    else:
        release = built if arguments.all else neighbours.completed(built)
    for line in writer.write(folder, release, found):
        print(line)
    print(writer.counts(release))
    return 0


if __name__ == "__main__":
    sys.exit(main())
