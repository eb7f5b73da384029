"""`main(RUNTIME)`: one question per line on stdin, one answer per line on stdout, both JSON.

The runtime is imported once; each question is answered in a child process, so that whatever a class
changes or breaks does not affect the next one. What the runtime prints goes to stderr.

Question: `path` of the checkpoint, `files` {name: text}, `tensors` {name: [dtype, shape]},
`seconds`, `memory` in bytes.
Answers are described in `ckptfix.runtimes.installed.answer`.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, Final, TextIO

from runtime_probe import asking, gpu
from runtime_probe.texts import is_missing, short

_LOCAL: Final = 1
"""socket.AF_UNIX."""
_READ: Final = 1 << 20


def main(runtime: str, folder: str) -> None:
    """Answer until stdin ends.

    Args:
        runtime: `vllm` or `sglang`.
        folder: a directory for temporary files, used by this process only.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.update({**gpu.QUIET, "TMPDIR": folder})
    warnings.filterwarnings("ignore")
    sys.addaudithook(_no_network)
    started = time.monotonic()
    try:
        asker = asking.Asker(runtime)
    except BaseException as error:
        traceback.print_exc()
        _send(out, {"failed": short(error), "missing": is_missing(error)})
        return
    ready = {"seconds": round(time.monotonic() - started, 1), "stood_in": asker.stood_in}
    _send(out, {"ready": ready})
    gc.collect()
    gc.freeze()
    for number, line in enumerate(sys.stdin):
        _send(out, _in_a_child(asker, json.loads(line), Path(folder) / str(number)))


def _no_network(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook, which cannot be removed: no socket may leave this machine."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        if event == "socket.connect" and args[0].family == _LOCAL:
            return
        host = args[1][0] if event == "socket.connect" else args[0]
        if str(host) not in ("127.0.0.1", "::1", "localhost", "None", os.uname().nodename):
            raise PermissionError(f"{asking.NO_NETWORK}: {host}")


def _send(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer, default=str) + "\n")
    out.flush()


def _in_a_child(asker: asking.Asker, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    folder.mkdir()
    ours, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            _limit(int(question["memory"]))
            with os.fdopen(its, "w", encoding="utf-8") as out:
                json.dump(_guarded(asker, question, folder), out, default=str)
        finally:
            os._exit(0)
    os.close(its)
    text, state = _read_until(ours, pid, time.monotonic() + float(question["seconds"]))
    if state is None:
        return {"failed": f"no answer within {question['seconds']} s"}
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"failed": f"it died: signal {os.WTERMSIG(state)}" if state else "it died"}
    return answer


def _guarded(asker: asking.Asker, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    try:
        return asker.answer(question, folder)
    except BaseException as error:
        traceback.print_exc()
        return {"failed": short(error), "missing": is_missing(error)}


def _limit(memory: int) -> None:
    """Limit the address space, or the heap if a GPU is mapped into the address space."""
    import torch

    torch.set_num_threads(1)
    kind = resource.RLIMIT_DATA if gpu.has_gpu() else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory, memory))


def _read_until(pipe: int, pid: int, end: float) -> tuple[bytes, int | None]:
    """What the child wrote, and its wait status; None if it was too slow and was killed."""
    os.set_blocking(pipe, False)
    parts = []
    while time.monotonic() < end:
        try:
            part = os.read(pipe, _READ)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if not part:
            os.close(pipe)
            return b"".join(parts), os.waitpid(pid, 0)[1]
        parts.append(part)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pipe)
    return b"", None
