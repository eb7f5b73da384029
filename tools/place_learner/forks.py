"""One child an architecture: imports are paid once, what a class changes does not outlive it."""

import gc
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from place_learner import sandbox
from runtime_probe.texts import short

MEMORY: Final = 14 << 30
"""Bytes of address space that a child may take."""

Result = dict[str, Any]


def each(
    folder: Path, architectures: Sequence[str], one: Callable[[str], Result], *, seconds: float
) -> None:
    """Write `folder`/ARCHITECTURE.json for every architecture that has none yet.

    Args:
        folder: of the results.
        architectures: in this order.
        one: learns an architecture; runs in a child.
        seconds: the limit of one architecture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gc.collect()
    gc.freeze()
    for number, architecture in enumerate(architectures, 1):
        path = folder / f"{architecture}.json"
        if path.exists():
            continue
        start = time.monotonic()
        _run(path, architecture, one, seconds)
        result = json.loads(path.read_text("utf-8"))
        problem = result.get("error", "")[:140]
        took = time.monotonic() - start
        head = f"{number}/{len(architectures)} {architecture} {result['status']}"
        print(f"{head} {result.get('source') or ''} {problem} {took:.1f} s", flush=True)


def _run(path: Path, architecture: str, one: Callable[[str], Result], seconds: float) -> None:
    temp = sandbox.home() / "learn" / "tmp" / f"{os.getpid()}-{architecture}"
    pid = os.fork()
    if pid == 0:
        try:
            log = os.open(path.parent / "children.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sandbox.own_temp(temp)
            _write(path, _guarded(architecture, one))
        finally:
            os._exit(0)
    state = _wait(pid, seconds)
    if state is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _write(path, _failed(architecture, "timeout", f"timeout: {seconds:.0f} s"))
    elif not path.exists():
        _write(path, _failed(architecture, "died", f"died: wait status {state}"))
    shutil.rmtree(temp, ignore_errors=True)


def apart(one: Callable[[], Any]) -> Any:
    """What a function returns in a child of its own; as JSON has it.

    Raises:
        RuntimeError: the child ended without a result, or raised.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            text = json.dumps(_told(one))
            with os.fdopen(writer, "w") as pipe:
                pipe.write(text)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    if not text:
        raise RuntimeError("the child ended without a result")
    told = json.loads(text)
    if "error" in told:
        raise RuntimeError(told["error"])
    return told["result"]


def _told(one: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"result": one()}
    except Exception as error:
        return {"error": short(error, 200)}


def _failed(architecture: str, status: str, error: str) -> Result:
    return {"architecture": architecture, "status": status, "error": error}


def _guarded(architecture: str, one: Callable[[str], Result]) -> Result:
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        return one(architecture)
    except BaseException as error:
        traceback.print_exc(file=sys.stderr)
        return _failed(architecture, "crash", short(error))


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, state = os.waitpid(pid, os.WNOHANG)
        if done:
            return state
        time.sleep(0.02)
    return None


def _write(path: Path, result: Result) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, default=str), "utf-8")
    part.replace(path)
