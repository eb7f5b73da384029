"""Do commands report the same for a large checkpoint on the fast path and on the plain one?

python benchmarks/reference.py DIR...

The fast path folds identical experts into the first; the plain one, in a separate process, reads
every module. What `check` says in every format, of one release and of all, and the patch and the
report of `rewrite` are compared byte by byte.
"""

import argparse
import sys
from itertools import product
from subprocess import run
from unittest.mock import patch

from ckptfix.__main__ import main as ckptfix
from ckptfix.checkpoint.checkpoint import Checkpoint

FORMATS = ("text", "json", "jsonl", "sarif", "github", "junit")
RELEASES = ((), ("--runtime", "vllm==0.17.1"), ("--runtime", "vllm", "--runtime", "sglang"))
CHECKS = tuple(("--format", form, *flags) for form, flags in product(FORMATS, RELEASES))
REWRITES = (("--dry-run",), ("--dry-run", "--runtime", "vllm==0.17.1"))


def say(plainly: bool, arguments: list[str]) -> None:
    """Run `ckptfix` in this process."""
    sys.argv = ["ckptfix", *arguments]
    if plainly:
        with patch.object(Checkpoint, "folded", property(lambda checkpoint: checkpoint)):
            ckptfix()
    ckptfix()


def output_of(way: str, arguments: tuple[str, ...]) -> tuple[int, bytes, bytes]:
    """Exit code and output of a process that takes the `fast` or the `plain` way."""
    command = [sys.executable, __file__, f"--{way}", *arguments]
    done = run(command, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def main() -> None:
    """Compare, print, and fail where the two differ."""
    if sys.argv[1:] and sys.argv[1] in ("--fast", "--plain"):
        say(sys.argv[1] == "--plain", sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directories", nargs="+")
    differ = False
    for directory in parser.parse_args().directories:
        calls = [("check", directory, *options) for options in CHECKS]
        calls += [("rewrite", directory, *options) for options in REWRITES]
        for call in calls:
            fast, plain = output_of("fast", call), output_of("plain", call)
            verdict = "identical" if fast == plain else "DIFFERENT"
            differ |= fast != plain
            print(f"{verdict}, {len(fast[1]):,} bytes: {' '.join(call)}", flush=True)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
