"""Run one command in this process and hold it to what every command promises.

A report or one sentence; exit code 0, 1 or 2; nothing unprintable; nothing read outside; in time.
"""

import io
import os
import re
import signal
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import ckptfix
from ckptfix.__main__ import main

SECONDS = 60
"""No input of these sizes may keep a command busy for longer, on however slow a machine."""
CANARY = "canary-of-another-tree"
"""In the files next to the checkpoint; no command may read them, let alone print it."""

_INSTALLED = tuple(
    os.path.realpath(path) + os.sep
    for path in {*sys.path, sysconfig.get_path("stdlib"), str(Path(ckptfix.__file__).parent)}
    if path
)
"""Where modules come from; the checkpoint lies in none of them."""


class HangError(BaseException):
    """Not an `Exception`, so that no handler of ours can take it for one."""


@dataclass
class _Watch:
    allowed: tuple[str, ...]
    strayed: list[str] = field(default_factory=list)


_watch: _Watch | None = None
_ANNOTATION = re.compile("::(error|warning|notice) [a-z]+=")
_ANYWHERE = re.compile(r"##(?i:vso|teamcity)?\[|section_(start|end):")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is None or event not in ("open", "os.listdir", "os.scandir"):
        return
    opened = arguments[0]
    if isinstance(opened, int) or opened is None:
        return
    path = os.path.realpath(os.fsdecode(opened))
    if not (path + os.sep).startswith(_watch.allowed):
        _watch.strayed.append(path)


sys.addaudithook(_audit)


@dataclass(frozen=True)
class Told:
    """What a command printed."""

    code: int
    stdout: str
    stderr: str


@contextmanager
def _watched(folder: Path) -> Iterator[_Watch]:
    global _watch  # noqa: PLW0603 - an audit hook cannot be given anything else
    watch = _watch = _Watch((os.path.realpath(folder) + os.sep, *_INSTALLED, "/dev/null" + os.sep))
    try:
        yield watch
    finally:
        _watch = None


def _hang(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise HangError(signal_number, frame)


@contextmanager
def _in_time() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class _Output:
    """The streams and arguments of a process, for a command in this one."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = ["ckptfix", *arguments]
        self._streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]

    def __enter__(self) -> None:
        self._before = sys.stdout, sys.stderr, sys.argv
        sys.stdout, sys.stderr = self._streams
        sys.argv = self._arguments

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr, sys.argv = self._before

    def texts(self) -> Iterator[str]:
        for stream in self._streams:
            stream.seek(0)
            yield stream.buffer.read().decode()


def run_guarded(folder: Path, arguments: Sequence[str]) -> Told:
    """What a command reports about a checkpoint that it may read, unlike the files next to it.

    Raises:
        AssertionError: the command broke a promise.
    """
    code: object = 0
    output = _Output(arguments)
    with output, _watched(folder) as watch, _in_time():
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    outcome = Told(int(str(code or 0)), *output.texts())
    assert outcome.code in (0, 1, 2), outcome
    assert not watch.strayed, f"opened {watch.strayed}"
    assert CANARY not in outcome.stdout + outcome.stderr
    if outcome.code == 2:
        assert outcome.stderr.lower().count("error: ") >= 1, outcome
    assert_harmless(outcome.stderr)
    # A patch holds the bytes of the file, so that git can apply it; a terminal gets it escaped.
    if not outcome.stdout.startswith("--- a/"):
        assert_harmless(outcome.stdout, annotations="github" in arguments)
    return outcome


def assert_harmless(text: str, *, annotations: bool = False) -> None:
    """Nothing that a terminal or the runner of a CI job would act on.

    Args:
        text: of a stream.
        annotations: it may hold the commands that `--format github` writes.
    """
    assert_printable(text)
    for shown in text.split("\n"):
        ours = _ANNOTATION.match(shown) if annotations else None
        rest = shown[ours.end() :] if ours else shown.lstrip()
        assert not rest.startswith("::") or ours, f"{shown!r} would act on GitHub's runner"
        assert not _ANYWHERE.search(shown), f"{shown!r} would act on a runner"


def assert_printable(text: str) -> None:
    """Nothing that a terminal would act upon, and nothing that changes the order of text."""
    for shown in text.replace("\t", "\n").split("\n"):
        assert shown.isprintable(), f"{shown!r} would act on a terminal"
