"""The process in which a runtime is queried: started at the first question, ended with ours."""

import atexit
import hashlib
import json
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import msgspec

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.installed.interpreter import environment
from ckptfix.runtimes.installed.answer import Answer

START_SECONDS: Final = 600
"""For the runtime's imports."""
ASK_SECONDS: Final = 600
"""For one checkpoint."""
MEMORY: Final = 24 << 30
"""Bytes of address space that building and loading may take; no weights are loaded."""
_GRACE: Final = 30
"""Seconds beyond the limit for the child to be ended and reported."""
_RUN: Final = (
    "import sys; sys.path[0] = sys.argv[1]\n"
    "from runtime_probe.main import main; main(*sys.argv[2:])"
)
_ENDED: Final = "the process ended"


class _SlowError(Exception):
    """No line came in time."""


@dataclass
class Process:
    """Queries one runtime in one Python; each question is asked only once."""

    runtime: str
    python: str
    start_seconds: float = START_SECONDS
    ask_seconds: float = ASK_SECONDS
    memory: int = MEMORY
    _answers: dict[bytes, Answer] = field(default_factory=dict, repr=False)
    _running: "_Running | None" = field(default=None, repr=False)
    _broken: str = ""
    _is_missing: bool = False
    _keeps_log: bool = False

    def ask(self, checkpoint: Checkpoint) -> Answer:
        """What happens to the checkpoint; an answer that `failed` if there is none."""
        question = self._question(checkpoint)
        key = hashlib.sha256(question).digest()
        if key not in self._answers:
            self._answers[key] = self._ask(question)
        return self._answers[key]

    def log(self) -> str:
        """Where the runtime's output is kept, if something went wrong."""
        return str(self._folder / "log.txt") if self._keeps_log else ""

    def _question(self, checkpoint: Checkpoint) -> bytes:
        tensors = checkpoint.table.tensors.items()
        return json.dumps(
            {
                "path": f"{checkpoint.name} {checkpoint.where}",
                "files": {name: text.text for name, text in checkpoint.documents.items()},
                "tensors": {name: [t.dtype, list(t.shape)] for name, t in tensors},
                "seconds": self.ask_seconds,
                "memory": self.memory,
            }
        ).encode()

    def _ask(self, question: bytes) -> Answer:
        if not self._broken and self._running is None:
            self._broken = self._start()
        if self._broken or self._running is None:
            return Answer(failed=self._broken, missing=self._is_missing)
        try:
            line = self._running.exchange(question, self.ask_seconds + _GRACE)
            answer = msgspec.json.decode(line, type=Answer)
        except _SlowError:
            self._broken = f"no answer within {self.ask_seconds:g} s"
            return self._failed(self._broken)
        except (OSError, msgspec.DecodeError):
            self._broken = _ENDED
            return self._failed(self._broken)
        self._keeps_log |= bool(answer.failed or answer.refused)
        return answer

    def _failed(self, why: str) -> Answer:
        self._keeps_log = True
        return Answer(failed=why)

    def _start(self) -> str:
        """Start it and wait until the runtime is imported; why that failed, or empty."""
        atexit.register(self.close)
        try:
            self._running = _Running.started(self.python, self.runtime, self._folder)
            reply = json.loads(self._running.line(self.start_seconds))
        except _SlowError:
            reply = {"failed": f"not imported within {self.start_seconds:g} s"}
        except (OSError, ValueError) as error:
            reply = {"failed": _ENDED if isinstance(error, ValueError) else str(error)}
        reply = reply if isinstance(reply, dict) else {"failed": _ENDED}
        failed = str(reply.get("failed", ""))
        self._is_missing = bool(reply.get("missing"))
        self._keeps_log |= bool(failed)
        return failed

    @cached_property
    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="ckptfix-"))

    def close(self) -> None:
        """End the process; its log is kept if something went wrong."""
        if self._running is not None:
            self._running.end()
            self._running = None
        if not self._keeps_log:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


@dataclass
class _Running:
    """The pipes of a process."""

    process: "subprocess.Popen[bytes]"
    script: Any
    _rest: bytes = b""

    @classmethod
    def started(cls, python: str, runtime: str, folder: Path) -> "_Running":
        script = as_file(files("ckptfix.installed") / "script")
        path = script.__enter__()
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - the interpreter that the user named
                [python, "-c", _RUN, str(path), runtime, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env=environment(),
                start_new_session=True,
            )
        return cls(process, script)

    def exchange(self, question: bytes, seconds: float) -> bytes:
        """Send a line and wait for one.

        Raises:
            OSError: the process ended.
            _SlowError: it took too long.
        """
        stdin = self.process.stdin
        if stdin is None:
            raise OSError(_ENDED)
        stdin.write(question + b"\n")
        stdin.flush()
        return self.line(seconds)

    def line(self, seconds: float) -> bytes:
        """The next line; empty where the process ended.

        Raises:
            _SlowError: it took too long.
        """
        stdout, end = self.process.stdout, time.monotonic() + seconds
        parts = [self._rest]
        while stdout is not None and b"\n" not in parts[-1]:
            ready, _, _ = select.select([stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.end()
                raise _SlowError
            part = stdout.read1(1 << 20)  # type: ignore[attr-defined]
            if not part:
                break
            parts.append(part)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def end(self) -> None:
        """Kill it; there is nothing to save."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # a question that it no longer reads
                    continue
        self.script.__exit__(None, None, None)
