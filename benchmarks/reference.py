"""Does `check` say the same of a large checkpoint by the fast path and by the plain one?

python benchmarks/reference.py DIR...

The fast path folds like experts into the first; the plain one, in a process of its own, looks at
every module. Text and JSON of one release and of all are compared byte by byte.
"""

import argparse
import sys
from subprocess import PIPE, run
from unittest.mock import patch

from ckptfix.__main__ import main as ckptfix
from ckptfix.checkpoint.checkpoint import Checkpoint

FORMATS = ("text", "json")
FLAGS = ((), ("--runtime", "vllm==0.33.0"), ("--runtime", "vllm", "--runtime", "sglang"))


def say(plainly: bool, arguments: list[str]) -> None:
    """Run `ckptfix` in this process."""
    sys.argv = ["ckptfix", *arguments]
    if plainly:
        with patch.object(Checkpoint, "folded", property(lambda checkpoint: checkpoint)):
            ckptfix()
    ckptfix()


def output_of(way: str, arguments: tuple[str, ...]) -> tuple[int, bytes]:
    """Exit code and output of a process that takes the `fast` or the `plain` way."""
    done = run([sys.executable, __file__, f"--{way}", *arguments], stdout=PIPE, check=False)
    return done.returncode, done.stdout


def main() -> None:
    """Compare, print, and fail where the two differ."""
    if sys.argv[1] in ("--fast", "--plain"):
        say(sys.argv[1] == "--plain", sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directories", nargs="+")
    differ = False
    for directory in parser.parse_args().directories:
        for form in FORMATS:
            for flags in FLAGS:
                arguments = ("check", directory, "--format", form, *flags)
                fast, plain = output_of("fast", arguments), output_of("plain", arguments)
                verdict = "identical" if fast == plain else "DIFFERENT"
                differ |= fast != plain
                print(f"{verdict}, {len(fast[1]):,} bytes: {' '.join(arguments)}", flush=True)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
