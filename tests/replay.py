"""Replay what real runtimes were seen to do: ask the real command, and compare."""

from collections import Counter
from pathlib import Path

from truth_loop.answers import RELEASES, Answered, ask, checked, with_known_layer_kinds

__all__ = [
    "RELEASES",
    "Answered",
    "ask",
    "ask_codes",
    "complaint",
    "with_known_layer_kinds",
]


def ask_codes(directory: Path, releases: tuple[str, ...] = RELEASES) -> dict[str, int]:
    """Code -> number of findings of `ckptfix check --runtime`."""
    return dict(Counter(finding["code"] for finding in checked(directory, releases)[0]["findings"]))


def complaint(
    release: str,
    id_: str,
    done: str,
    *,
    loads: bool | None,
    why: str,
    got: Answered,
) -> str:
    """What is wrong with an answer, for the reader of a failed test; empty if nothing is."""
    expected = "yes" if loads else "no"
    if loads is None or got.answer == expected:
        return ""
    shown = (
        f"{id_} on {release}\n  done: {done}\n  expected: {expected}  {why}\n  got: {got.answer}"
    )
    return shown + "".join(f"\n    {reason}" for reason in got.reasons[:5])
