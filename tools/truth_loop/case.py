"""A broken checkpoint as a line of JSON: what differs from the fixture that it was made from.

A line holds `id`, `from`, `how`, `runtime`, `config`, `hf_quant`, `loads` and `why`, as
`../shared/oracle/truth/record.py` writes them. Two keys are ours, both optional:

- `tensors`: name -> null where it is dropped, else `[dtype, shape, name in the fixture or null]`;
- `files`: name of another file -> its text.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

CONFIG: Final = "config.json"
HF_QUANT: Final = "hf_quant_config.json"
INDEX: Final = "model.safetensors.index.json"
BITS: Final = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "U8", "I8", "BOOL"), 8),
}

Tensor = tuple[str, tuple[int, ...]]
"""dtype, shape."""
TensorEdit = tuple[str, tuple[int, ...], str | None]
"""dtype, shape, and the name in the fixture whose bytes it gets; zeros where that is None."""


@dataclass(frozen=True)
class Case:
    """A fixture and how it was broken."""

    id: str
    origin: str
    """Name of the fixture."""
    how: tuple[str, ...]
    config: str | None
    """Text of config.json; None where it is removed. `hf_quant` is that of hf_quant_config.json."""
    hf_quant: str | None
    tensors: Mapping[str, TensorEdit | None] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of_line(line: Mapping[str, Any]) -> "Case":
        """The case of a recorded line."""
        edits = line.get("tensors", {})
        return Case(
            line["id"],
            line["from"],
            tuple(line["how"]),
            line["config"],
            line["hf_quant"],
            {name: edit and (edit[0], tuple(edit[1]), edit[2]) for name, edit in edits.items()},
            line.get("files", {}),
        )

    def as_line(self) -> dict[str, Any]:
        """The keys of a line that describe the checkpoint."""
        texts = {"config": self.config, "hf_quant": self.hf_quant}
        line: dict[str, Any] = {"id": self.id, "from": self.origin, "how": list(self.how), **texts}
        return (
            line
            | ({"tensors": dict(self.tensors)} if self.tensors else {})
            | ({"files": dict(self.files)} if self.files else {})
        )

    def stored(self, fixtures: Path) -> set[str]:
        """Names of all its tensors.

        Args:
            fixtures: folder of the fixtures.
        """
        dropped = {name for name, edit in self.tensors.items() if edit is None}
        return (set(tensors_in(fixtures / self.origin)) | set(self.tensors)) - dropped

    def write(self, fixtures: Path, directory: Path) -> Path:
        """The checkpoint as files.

        Args:
            fixtures: folder of the fixtures.
            directory: must not exist.
        """
        copy = shutil.copyfile if self.tensors else _copy_or_link
        shutil.copytree(fixtures / self.origin, directory, copy_function=copy)
        directory.chmod(0o755)
        for name, text in ((CONFIG, self.config), (HF_QUANT, self.hf_quant)):
            (directory / name).unlink(missing_ok=True)
            if text is not None:
                (directory / name).write_text(text)
        if self.tensors:
            _edit_shards(directory, self.tensors)
        for name, text in self.files.items():
            (directory / name).write_text(text)
        return directory


def _copy_or_link(source: str, target: str) -> str:
    """Link a shard file, which nobody writes to: a copy of a sparse one takes its whole size."""
    if source.endswith(".safetensors"):
        with contextlib.suppress(OSError):  # another file system
            os.link(source, target)
            return target
    return shutil.copyfile(source, target)


def header_text(path: Path) -> tuple[str, int]:
    """The header of a safetensors file as it is, and the number of bytes after it."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(length).decode(), path.stat().st_size - 8 - length


def read_header(path: Path) -> dict[str, Any]:
    """Header of a safetensors file, without its metadata."""
    header: dict[str, Any] = json.loads(header_text(path)[0])
    header.pop("__metadata__", None)
    return header


def _read_shard(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    return read_header(path), data[8 + int.from_bytes(data[:8], "little") :]


def tensors_in(directory: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint."""
    found: dict[str, Tensor] = {}
    for path in sorted(directory.glob("*.safetensors")):
        for name, entry in read_header(path).items():
            found[name] = entry["dtype"], tuple(entry["shape"])
    return found


def _edit_shards(directory: Path, edits: Mapping[str, TensorEdit | None]) -> None:
    """Apply the edits where the tensor that they start from is; new ones go to the first file."""
    paths = sorted(directory.glob("*.safetensors"))
    held = {path: _read_shard(path) for path in paths}
    where = {name: path for path, (header, _) in held.items() for name in header}
    new: dict[Path, dict[str, tuple[str, tuple[int, ...], bytes]]] = {path: {} for path in paths}
    for path, (header, data) in held.items():
        for name, entry in header.items():
            if name not in edits:
                start, end = entry["data_offsets"]
                new[path][name] = entry["dtype"], tuple(entry["shape"]), data[start:end]
    for name, edit in edits.items():
        if edit is None:
            continue
        dtype, shape, source = edit
        path = where[source or name] if (source or name) in where else paths[0]
        size = BITS[dtype] * prod(shape) // 8
        new[path][name] = dtype, shape, _bytes_of(held[path], source).ljust(size, b"\0")[:size]
    for path, tensors in new.items():
        _write_shard(path, tensors)
    if (index := directory / INDEX).exists():
        value = json.loads(index.read_text())
        value["weight_map"] = {name: path.name for path in paths for name in new[path]}
        index.write_text(json.dumps(value))


def _bytes_of(held: tuple[dict[str, Any], bytes], source: str | None) -> bytes:
    header, data = held
    start, end = header[source]["data_offsets"] if source in header else (0, 0)
    return data[start:end]


def _write_shard(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        end = at + len(data)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    encoded = json.dumps(header).encode()
    blob = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + blob)
