"""Record what the lookup functions of a release answer about other quantizers' metadata.

    PYTHON tools/record_lookups.py RELEASE CASES OUT [EVERY]

RELEASE is `vllm==0.24.0`, or `sglang==0.5.14`; PYTHON is the oracle's own interpreter, which
imports the release from the unpacked wheel that ORACLE_VLLM_ROOT or ORACLE_SGLANG_ROOT names
(../shared/oracle/README.md, ../shared/oracle/sglang/README.md). CASES holds cases of any release
(../shared/quantizers/conformance/lookup.jsonl.gz); each EVERY-th is asked again: the names are
mapped by the release's own mapper class with the rules of our profile, and the answers are those of
its functions. OUT is what tools/conformance.py replays; it keeps what it has of other releases.
Only what decides by name is called: a layer is an instance of its class that was never built.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

REFUSES: Final = (
    ValueError, AssertionError, KeyError, TypeError, AttributeError, DeprecationWarning,
)  # fmt: skip


class Release(Protocol):
    """The classes of an imported release."""

    def knows(self, architecture: str) -> bool:
        """Whether it registers a model class."""

    def bind(self, case: Mapping[str, Any]) -> Any:
        """The config as the loader makes it of the metadata of a case."""

    def answer(self, config: Any, method: str, name: str, kind: str) -> object:
        """What a config answers for a layer."""


def imported(runtime: str, version: str) -> Release:
    """The release of a runtime, imported."""
    if runtime == "sglang":
        from lookup_recorder.sglang_release import SglangRelease

        return SglangRelease(version)
    from lookup_recorder.vllm_release import VllmRelease

    return VllmRelease(version)


def asked(release: Release, case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every lookup of a case, answered by the release."""
    config = release.bind(case)
    for expect in case["expect"]:
        name, kind = expect["prefix"], expect["kind"]
        try:
            answer = release.answer(config, case["method"], name, kind)
        except (ValueError, NotImplementedError, RuntimeError):
            answer = "error"
        yield {"prefix": name, "kind": kind, "answer": answer}


def main() -> None:
    """Ask, and write what was answered."""
    spec, cases, out, *rest = sys.argv[1:]
    every = int(rest[0]) if rest else 1
    runtime, _, version = spec.partition("==")
    release = imported(runtime, version)
    written = [
        line for line in read(out) if (line["runtime"], line["version"]) != (runtime, version)
    ]
    refused = 0
    with gzip.open(cases, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            case = json.loads(line)
            if number % every or not release.knows(case["architectures"][0]):
                continue
            try:
                expect = list(asked(release, case))
            except REFUSES as error:
                refused += 1
                print(f"{number} {case['method']}: {type(error).__name__}: {error}"[:160])
                continue
            asked_of = {"case": number, "runtime": runtime, "version": version, "expect": expect}
            written.append(
                {key: value for key, value in case.items() if key != "packed"} | asked_of
            )
    written.sort(key=lambda line: (line["case"], line["runtime"], line["version"]))
    text = "".join(json.dumps(line) + "\n" for line in written)
    Path(out).write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(written)} cases in {out}, {refused} that the release refuses as a whole")
    os._exit(0)


def read(out: str) -> list[dict[str, Any]]:
    """What was recorded before."""
    if not Path(out).exists():
        return []
    return [json.loads(line) for line in gzip.decompress(Path(out).read_bytes()).splitlines()]


if __name__ == "__main__":
    main()
