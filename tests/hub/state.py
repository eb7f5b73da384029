"""What the loopback Hub knows, what it counts, and what goes wrong with it."""

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import unquote

from tests.hub.repositories import Blob, Repository


@dataclass
class Fault:
    """What goes wrong with requests whose path (and query) holds `where`, in any case.

    huggingface_hub before 1.0 writes `blobs=True`, later releases `blobs=true`.
    """

    where: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    silence: float = 0.0
    """Seconds before the answer."""
    cut_after: int | None = None
    """Bytes of the body before the connection is closed."""
    pause: float = 0.0
    """Seconds between single bytes."""
    ignores_range: bool = False
    times: int = 1_000_000
    method: str = ""


@dataclass
class Hub:
    """The state of the server; tests read and change it."""

    url: str = ""
    storage_url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path and query)."""
    bodies: Counter[str] = field(default_factory=Counter)
    """File name -> bytes of its content that were sent."""
    wire: int = 0
    """Every byte sent, status lines and headers too."""
    tokens_at_storage: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def add(self, name: str, files: dict[str, Blob], **more: Any) -> Repository:
        repository = self.repositories[name] = Repository(**more)
        repository.commit(files)
        return repository

    def fault_for(self, method: str, path: str) -> Fault | None:
        requested = unquote(path).lower()
        with self.lock:
            for fault in self.faults:
                if (
                    fault.where.lower() in requested
                    and fault.times
                    and fault.method in ("", method)
                ):
                    fault.times -= 1
                    return fault
        return None
