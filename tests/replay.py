"""Replay what real runtimes were seen to do: ask the real command, compare, hold the line.

`known_disagreements.toml` lists by id where we still answer differently from a runtime. An id that
is not listed must agree; an id that is listed must not, so that the list only becomes shorter.
"""

import io
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from ckptfix.__main__ import main

RELEASES = ("vllm==0.33.0", "sglang==0.5.23")
LIST = Path(__file__).parent / "known_disagreements.toml"

Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Answered:
    """What one call of `check` said of one release."""

    answer: Answer
    reasons: tuple[str, ...]


def _checked(directory: Path, releases: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The report of `ckptfix check --runtime` on one checkpoint, and what it told on stderr."""
    flags = [flag for release in releases for flag in ("--runtime", release)]
    arguments = ["ckptfix", "check", str(directory), "--format", "json", "--no-config", *flags]
    shown, told = io.StringIO(), io.StringIO()
    arguments_ = mock.patch.object(sys, "argv", arguments)
    with arguments_, redirect_stdout(shown), redirect_stderr(told), suppress(SystemExit):
        main()
    report: dict[str, Any] = json.loads(shown.getvalue())
    return report["checkpoints"][0], told.getvalue()


def ask(directory: Path, releases: tuple[str, ...] = RELEASES) -> dict[str, Answered]:
    """Release -> the answer of `ckptfix check --runtime`; `unknown` where it refuses."""
    checked, told = _checked(directory, releases)
    found = {f"{r['runtime']}=={r['version']}": r for r in checked["runtimes"]}
    return {
        release: Answered(found[release]["loads"], tuple(found[release]["reasons"]))
        if release in found
        else Answered("unknown", (checked["error"] or told,))
        for release in releases
    }


def ask_codes(directory: Path, releases: tuple[str, ...] = RELEASES) -> dict[str, int]:
    """Code -> number of findings of `ckptfix check --runtime`."""
    return dict(
        Counter(finding["code"] for finding in _checked(directory, releases)[0]["findings"])
    )


def with_known_layer_kinds(config: str) -> str:
    """config.json as SGLang was given it: the kinds of layers that transformers 5.14 writes, which
    SGLang refuses, by their older names. `sglang-nemotronh-layers-block-type` is the case for that.
    """
    value = json.loads(config)
    for holder in (value, value.get("llm_config"), value.get("text_config")):
        kinds = holder.get("layers_block_type") if isinstance(holder, dict) else None
        if isinstance(kinds, list):
            older = {"linear_attention": "mamba", "full_attention": "attention"}
            holder["layers_block_type"] = [older.get(kind, kind) for kind in kinds]
    return json.dumps(value)


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
