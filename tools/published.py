"""Compare `ckptfix check` with what real classes did with the releases of `../shared/real-configs`.

    tools/published.py [--keep DIR] [NAME...]

The metadata is real, the tensors are made up by `../shared/oracle/published/synthesize.py`, into a
temporary directory. Prints a row for each release, then every disagreement: an answer that is not
that of `expected.json`, and a finding on a release that loads without a reason in
`tests/data/published_findings.toml`. Exit code 0 without disagreements, 1 with some, 2 if a release
could not be made or checked; without `../shared` or the oracle it says so and ends in 0.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
SHARED: Final = ROOT.parent / "shared"
CONFIGS: Final = SHARED / "real-configs"
PUBLISHED: Final = SHARED / "oracle" / "published"
ORACLE: Final = Path(os.environ.get("ORACLE_HOME", Path.home() / ".cache" / "ckptfix-oracle"))
REASONS: Final = ROOT / "tests" / "data" / "published_findings.toml"
RELEASES: Final = ("vllm 0.33.0", "sglang 0.5.23")


class NotMadeError(Exception):
    """A release could not be made or checked, and why."""


@dataclass(frozen=True)
class Row:
    """What `check` found of one release."""

    name: str
    answers: Mapping[str, str]
    """Runtime release -> `yes`, `no` or `unknown`."""
    why: Mapping[str, str]
    """Runtime release -> the first reason; empty where it loads."""
    codes: Mapping[str, int]
    """Code -> number of findings."""


def make(source: Path, out: Path) -> None:
    """Write a release with tensors made up; holes for data, so that it takes some megabytes.

    Raises:
        NotMadeError: the script failed.
    """
    python = ORACLE / "venv" / "bin" / "python"
    command = [str(python), str(PUBLISHED / "synthesize.py"), str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMadeError(f"{source.name}: {(done.stderr.strip() or '?').splitlines()[-1]}")


def check(directory: Path) -> Row:
    """Run the real command on a release.

    Raises:
        NotMadeError: it could not be checked.
    """
    options = [word for r in RELEASES for word in ("--runtime", r.replace(" ", "=="))]
    command = [sys.executable, "-m", "ckptfix", "check", str(directory), "--no-config", *options]
    done = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise NotMadeError(f"{directory.name}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)["checkpoints"][0]
    answered = {f"{r['runtime']} {r['version']}": r for r in found["runtimes"]}
    return Row(
        directory.name,
        {release: answered[release]["loads"] for release in RELEASES},
        {release: next(iter(answered[release]["reasons"]), "") for release in RELEASES},
        Counter(finding["code"] for finding in found["findings"]),
    )


def disagreements(
    row: Row, expected: Mapping[str, Any], reasons: Mapping[str, str]
) -> Iterator[str]:
    """What differs from the real classes, and findings without a recorded reason.

    Args:
        row: what `check` found.
        expected: of expected.json, for this release.
        reasons: code -> why the finding is true, for this release.
    """
    for release in RELEASES:
        loads = "yes" if expected[release]["loads"] else "no"
        if row.answers[release] != loads:
            message = f"{row.name} on {release}: {loads}, answered {row.answers[release]}"
            yield f"{message}: {row.why[release]}"
    if any(expected[release]["loads"] for release in RELEASES):
        for code in row.codes.keys() - reasons.keys():
            message = f"{row.codes[code]:,} {code} without a reason in {REASONS.name}"
            yield f"{row.name}: {message}"
    for code in reasons.keys() - row.codes.keys():
        yield f"{row.name}: no {code} found any more: take it out of {REASONS.name}"


def shown(row: Row, expected: Mapping[str, Any]) -> str:
    """One line of the table: `answer (expected)` for each release, then the codes."""
    answers = [
        f"{row.answers[r]} ({'yes' if expected[r]['loads'] else 'no'})".ljust(14) for r in RELEASES
    ]
    codes = ", ".join(f"{number:,} {code}" for code, number in sorted(row.codes.items()))
    return f"{row.name:<55} {' '.join(answers)} {codes or 'clean'}"


def compare(names: list[str], folder: Path) -> list[str]:
    """Make and check each release; print the table; the disagreements.

    Raises:
        NotMadeError: a release could not be made or checked.
    """
    expected = json.loads((PUBLISHED / "expected.json").read_text())
    reasons = tomllib.loads(REASONS.read_text())
    found: list[str] = []
    print(f"{'answer (expected)':<55} {' '.join(r.ljust(14) for r in RELEASES)} findings")
    for name in names:
        if not (folder / name).is_dir():
            make(CONFIGS / name, folder / name)
        row = check(folder / name)
        print(shown(row, expected[name]), flush=True)
        found += disagreements(row, expected[name], reasons.get(name, {}))
    return found


def main() -> int:
    """Run the comparison; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="releases; all without any")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what is made, use it again")
    arguments = parser.parse_args()
    for needed in (CONFIGS, PUBLISHED, ORACLE / "venv"):
        if not needed.exists():
            print(f"skipped: {needed} is not there")
            return 0
    names = arguments.names or sorted(path.parent.name for path in CONFIGS.glob("*/config.json"))
    with TemporaryDirectory() as made:
        try:
            found = compare(names, arguments.keep or Path(made))
        except NotMadeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    print("".join(f"DISAGREES {line}\n" for line in found) or "all agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
