"""What `ckptfix check` answers for a checkpoint on disk, release by release."""

import io
import json
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal
from unittest import mock

from ckptfix.__main__ import main
from truth_loop.case import CONFIG

RELEASES: Final = ("vllm==0.33.0", "sglang==0.5.23")

Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Answered:
    """What one call of `check` reported for one release."""

    answer: Answer
    reasons: tuple[str, ...]


def checked(directory: Path, releases: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The report of `ckptfix check --runtime` on one checkpoint, and its stderr."""
    flags = [flag for release in releases for flag in ("--runtime", release)]
    arguments = ["ckptfix", "check", str(directory), "--format", "json", "--no-config", *flags]
    shown, errors = io.StringIO(), io.StringIO()
    arguments_ = mock.patch.object(sys, "argv", arguments)
    with arguments_, redirect_stdout(shown), redirect_stderr(errors), suppress(SystemExit):
        main()
    report: dict[str, Any] = json.loads(shown.getvalue())
    return report["checkpoints"][0], errors.getvalue()


def ask(directory: Path, releases: tuple[str, ...] = RELEASES) -> dict[str, Answered]:
    """Release -> the answer of `ckptfix check --runtime`; `unknown` where it refuses."""
    report, errors = checked(directory, releases)
    found = {f"{r['runtime']}=={r['version']}": r for r in report["runtimes"]}
    return {
        release: Answered(found[release]["loads"], tuple(found[release]["reasons"]))
        if release in found
        else Answered("unknown", (report["error"] or errors,))
        for release in releases
    }


def ask_as_judged(directory: Path) -> dict[str, Answered]:
    """The same, for SGLang on the config.json that the oracle gave it."""
    got = ask(directory)
    config = directory / CONFIG
    if config.exists() and "layers_block_type" in (text := config.read_text()):
        with TemporaryDirectory() as folder:
            given = Path(folder) / directory.name
            shutil.copytree(directory, given)
            (given / CONFIG).chmod(0o644)
            (given / CONFIG).write_text(with_known_layer_kinds(text))
            got |= ask(given, RELEASES[1:])
    return got


def with_known_layer_kinds(config: str) -> str:
    """config.json as SGLang was given it: kinds of layers by their older names.

    SGLang refuses those that transformers 5.14 writes: `sglang-nemotronh-layers-block-type` of
    `../shared/cases` is the case for that.
    """
    value = json.loads(config)
    for holder in (value, value.get("llm_config"), value.get("text_config")):
        kinds = holder.get("layers_block_type") if isinstance(holder, dict) else None
        if isinstance(kinds, list):
            older = {"linear_attention": "mamba", "full_attention": "attention"}
            holder["layers_block_type"] = [older.get(kind, kind) for kind in kinds]
    return json.dumps(value)
