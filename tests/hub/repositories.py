"""What the loopback Hub serves: repositories of real bytes, or of files far larger than a disk."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from ckptfix.checkpoint.safetensors import DTYPE_BITS
from tests.builders import Shapes

LFS_SUFFIXES = (".safetensors", ".gguf", ".bin")


@dataclass(frozen=True)
class Blob:
    """A file: its first bytes, and zeros up to its size."""

    head: bytes
    size: int

    @classmethod
    def of(cls, data: bytes) -> "Blob":
        return cls(data, len(data))

    def part(self, start: int, end: int) -> bytes:
        known = self.head[start:end]
        return known + bytes(min(end, self.size) - start - len(known))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.head + str(self.size).encode()).hexdigest()

    @property
    def sha1(self) -> str:
        return hashlib.sha1(b"blob %d\0" % self.size + self.head).hexdigest()


@dataclass
class Repository:
    """Commits, and what points at them."""

    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    readers: frozenset[str] | None = None
    """Tokens that may read; None: everybody."""
    writers: frozenset[str] = frozenset({"hf_writer"})
    gated: bool = False
    pull_requests: list[tuple[str, str]] = field(default_factory=list)
    """(title, body)."""

    def commit(self, files: dict[str, Blob], ref: str = "main") -> str:
        content = json.dumps([sorted((n, b.sha256) for n, b in files.items()), len(self.commits)])
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


def blobs_of(directory: Path) -> dict[str, Blob]:
    return {path.name: Blob.of(path.read_bytes()) for path in directory.iterdir() if path.is_file()}


def with_longer_header(blob: Blob, length: int) -> Blob:
    """The same shard file with as many spaces after its header: it takes a second request."""
    end = 8 + int.from_bytes(blob.head[:8], "little")
    head = (end - 8 + length).to_bytes(8, "little") + blob.head[8:end] + b" " * length
    return Blob(head + blob.head[end:], blob.size + length)


def declared_blob(tensors: Shapes) -> Blob:
    """A shard file of which the header declares the tensors, and the weights are not kept."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        size = DTYPE_BITS[dtype] // 8
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    head = len(encoded).to_bytes(8, "little") + encoded
    return Blob(head, len(head) + end)
