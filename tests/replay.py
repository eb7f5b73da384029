"""Replay what real runtimes were seen to do: ask the real command, compare, hold the line.

`known_disagreements.toml` lists by id where we still answer differently from a runtime. An id that
is not listed must agree; an id that is listed must not, so that the list only becomes shorter.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from truth_loop.answers import RELEASES, Answered, ask, checked, with_known_layer_kinds

__all__ = [
    "RELEASES",
    "Answered",
    "ask",
    "ask_codes",
    "complaint",
    "listed",
    "with_known_layer_kinds",
]

LIST = Path(__file__).parent / "known_disagreements.toml"


def ask_codes(directory: Path, releases: tuple[str, ...] = RELEASES) -> dict[str, int]:
    """Code -> number of findings of `ckptfix check --runtime`."""
    return dict(Counter(finding["code"] for finding in checked(directory, releases)[0]["findings"]))


@cache
def listed(suite: str, release: str) -> Mapping[str, str]:
    """Id -> what we answer, for the known disagreements of a suite with a release."""
    table = tomllib.loads(LIST.read_text())[suite].get(release, {})
    return {id_: answer for answer, ids in table.items() for id_ in ids}


def complaint(
    suite: str, release: str, id_: str, done: str, *, loads: bool | None, why: str, got: Answered
) -> str:
    """What is wrong with an answer, for the reader of a failed test; empty if nothing is."""
    if loads is None:
        return ""
    expected = "yes" if loads else "no"
    known = listed(suite, release).get(id_)
    shown = (
        f"{id_} on {release}\n  done: {done}\n  expected: {expected}  {why}\n  got: {got.answer}"
    )
    shown += "".join(f"\n    {reason}" for reason in got.reasons[:5])
    if got.answer == expected:
        return f"{shown}\n  agrees now: take it out of {LIST.name}" if known else ""
    if known is None:
        return shown
    return "" if known == got.answer else f"{shown}\n  listed as {known}"
