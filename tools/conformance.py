"""Replay what the lookup functions of real releases answered, through the public API.

    tools/conformance.py FILE...

Each line of a FILE is a case: runtime, version, architectures, quantized_layers and
exclude_modules, or the quant_method and the metadata of another quantizer, and what was expected of
each prefix. Prints agreement per runtime, release and architecture. Exit code 0 if all agree, 1 if
not, 2 if a file cannot be read or there is nothing to look up.
"""

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptfix.checkpoint.dialects.statements import MIXED
from ckptfix.errors import CkptfixError
from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.methods import NO_TENSORS, LayerKind, Lookup
from ckptfix.runtimes.common.objects import JsonObject, StopsError
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named

Answer = tuple[bool | str, str | None] | str | dict[str, Any]
"""Of ModelOpt (excluded: true, false or "error"; quant_algo: upper case, None or "error"); of other
quantizers "unquantized", "error" or the fields of the scheme."""
KINDS: dict[str, LayerKind] = {
    "linear": "linear", "lm_head": "head", "embedding": "embedding", "moe": "experts"
}  # fmt: skip


class ConformanceFileError(Exception):
    """A file is not of the schema, and where."""


@dataclass(frozen=True)
class Outcome:
    """One lookup."""

    runtime: str
    version: str
    architecture: str
    prefix: str
    expected: Answer
    answered: Answer
    """A string that is not an answer is the reason why there is none."""

    @property
    def agrees(self) -> bool:
        """True when the answer is the expected one."""
        return self.answered == self.expected


def replay(case: dict[str, Any]) -> Iterator[Outcome]:
    """The outcome of every lookup of a case."""
    head = (case["runtime"], case["version"], case["architectures"][0])
    if "method" in case:
        yield from replay_method(case, head)
        return
    entries = {name: entry["quant_algo"] for name, entry in case["quantized_layers"].items()}
    bound: BoundMetadata | str
    try:
        profile = load_profile(case["runtime"], case["version"])
        runtime = runtime_named(profile.runtime)
        algo, excludes = case.get("quant_algo", MIXED), case["exclude_modules"]
        bound = runtime.bind(profile, case["architectures"], entries, excludes, quant_algo=algo)
    except CkptfixError as error:
        bound = str(error)
    for expect in case["expect"]:
        expected = (expect["excluded"], expect["quant_algo"])
        answered = bound if isinstance(bound, str) else answer(bound, expect["prefix"])
        yield Outcome(*head, expect["prefix"], expected, answered)


def replay_method(case: dict[str, Any], head: tuple[str, str, str]) -> Iterator[Outcome]:
    """The outcomes of a case of another quantizer; `head` is what an outcome begins with."""
    lookup: Lookup | str
    try:
        profile = load_profile(case["runtime"], case["version"])
        runtime = runtime_named(profile.runtime)
        names = runtime.bind_names(profile, case["architectures"])
        method = runtime.method_named(case["method"], profile.version, head[2])
        found = JsonObject("config.json", ("quantization_config",), case["metadata"])
        lookup = method.bind(found, names, NO_TENSORS) if method else "no such method"
    except (CkptfixError, StopsError) as error:
        lookup = str(error)
    for expect in case["expect"]:
        expected, prefix = expect["answer"], expect["prefix"]
        if isinstance(lookup, str):
            answered: Answer = lookup
        else:
            answered = scheme_of(lookup, prefix, KINDS[expect["kind"]], expected)
        yield Outcome(*head, prefix, expected, answered)


def scheme_of(lookup: Lookup, prefix: str, kind: LayerKind, expected: Answer) -> Answer:
    """The answer of the API for a runtime name; for a scheme, the fields that the file records."""
    try:
        scheme = lookup.find(prefix, kind)
    except LookupDisagreementError:
        return "error"
    if scheme is None:
        return "unquantized"
    recorded = expected if isinstance(expected, dict) else scheme.fields
    return {field: scheme.fields.get(field) for field in recorded}


def answer(bound: BoundMetadata, prefix: str) -> Answer:
    """The answer of the API for a runtime name, in the terms of the file."""
    resolution = bound.resolve(prefix)
    excluded = "error" if resolution.exclusion_error else resolution.excluded is not None
    return excluded, "error" if resolution.algo_error else resolution.quant_algo


def replay_files(paths: Iterable[Path]) -> Iterator[Outcome]:
    """The outcome of every lookup of every file.

    Raises:
        ConformanceFileError: a line is not a case.
    """
    for path in paths:
        open_ = gzip.open if path.suffix == ".gz" else open
        with open_(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield from replay(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                    raise ConformanceFileError(
                        f"{path}:{number}: not a conformance case: {error!r}"
                    ) from error


def show(outcomes: list[Outcome], most: int) -> bool:
    """Print the agreement and the disagreements; True when there is none."""
    totals = Counter((o.runtime, o.version, o.architecture) for o in outcomes)
    agreed = Counter((o.runtime, o.version, o.architecture) for o in outcomes if o.agrees)
    for key, total in sorted(totals.items()):
        print(f"{key[0]} {key[1]:<13} {key[2]:<40} {agreed[key]:>6} of {total}")
    different = [o for o in outcomes if not o.agrees]
    for outcome in different[:most]:
        print(
            f"DISAGREES {outcome.runtime} {outcome.version} {outcome.architecture} "
            f"{outcome.prefix}: expected {outcome.expected}, answered {outcome.answered}"
        )
    share = 100 * (len(outcomes) - len(different)) / max(len(outcomes), 1)
    print(f"{len(outcomes) - len(different)} of {len(outcomes)} lookups agree ({share:.2f} %)")
    return not different


def main() -> int:
    """Run the replay; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--all", action="store_true", help="list every disagreement, not 20")
    arguments = parser.parse_args()
    try:
        outcomes = list(replay_files(arguments.files))
    except (OSError, UnicodeDecodeError, ConformanceFileError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not outcomes:
        print("error: there is nothing to look up in the files", file=sys.stderr)
        return 2
    return 0 if show(outcomes, len(outcomes) if arguments.all else 20) else 1


if __name__ == "__main__":
    sys.exit(main())
