"""Make the profiles of runtime releases from their wheels, without importing them.

    tools/extract_profiles.py WHEEL_OR_DIRECTORY... [--out FOLDER] [--check]

Each release is read from a .whl file of vLLM or SGLang, or from the directory it was unpacked to,
with the output of `sha256sum WHEEL` in DIRECTORY.sha256. The releases that are in FOLDER, under
<runtime>/profiles, are kept, and all of a runtime are written anew, so that the result does not
depend on which were read together. What the source alone does not tell is listed on stderr, and is
not in the profile.
Exit code 0; with --check, which writes nothing, 1 if a file would change; 2 if one cannot be read.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from ckptfix.errors import CkptfixError
from profile_extractor.release import ExtractedRelease, extract_release
from profile_extractor.source_tree import open_source_tree
from profile_extractor.writer import differing, read_releases, render_releases, write

RUNTIMES: Final = Path(__file__).parents[1] / "src" / "ckptfix" / "runtimes"


def read(path: Path) -> ExtractedRelease:
    """The profile of a release, with its outcome on stdout and what was not read on stderr."""
    release = extract_release(open_source_tree(path))
    name = f"{release.head.runtime} {release.head.version}"
    print(f"{name}: {len(release.records)} architectures")
    for unread in release.unread:
        print(f"{name}: {unread}", file=sys.stderr)
    return release


def update(out: Path, releases: list[ExtractedRelease], *, check: bool) -> bool:
    """Put the releases into the folder of their runtime; True when a file changes."""
    changes = False
    for runtime in sorted({release.head.runtime for release in releases}):
        folder = out / runtime / "profiles"
        new = {
            release.head.version: (release.head, release.records)
            for release in releases
            if release.head.runtime == runtime
        }
        texts = render_releases({**read_releases(folder), **new})
        paths = differing(folder, texts)
        for path in paths:
            print(f"{'would change' if check else 'wrote'} {path}")
        if not check:
            write(paths, texts)
        changes = changes or bool(paths)
    return changes


def main() -> int:
    """Read and write; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, metavar="WHEEL_OR_DIRECTORY")
    parser.add_argument("--out", type=Path, default=RUNTIMES, metavar="FOLDER")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file differs")
    arguments = parser.parse_args()
    try:
        releases = [read(path) for path in arguments.sources]
        changes = update(arguments.out, releases, check=arguments.check)
    except CkptfixError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if arguments.check and changes else 0


if __name__ == "__main__":
    sys.exit(main())
