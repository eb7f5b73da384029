"""One companion tensor of a checkpoint made wrong, in place."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ckptfix.checkpoint.checkpoint import Checkpoint

COMPANIONS = (
    "weight_scale",
    "weight_scale_2",
    "input_scale",
    "pre_quant_scale",
    "svdquant_lora_a",
    "svdquant_lora_b",
    "k_scale",
    "v_scale",
)
DTYPES = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
}
KINDS = ("x2", "zero", "nan", "swap")


@dataclass(frozen=True)
class Corruption:
    """What is done to which tensor."""

    module: str
    role: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} {self.role} of {self.module}"


def every_corruption(checkpoint: Checkpoint) -> Iterator[Corruption]:
    """Every companion, in every way."""
    for name, module in checkpoint.modules.items():
        for role in COMPANIONS:
            if role in module.tensors:
                yield from (Corruption(name, role, kind) for kind in KINDS)


class Editor:
    """Writes into the shard files of a copy, and takes it back."""

    def __init__(self, directory: Path, checkpoint: Checkpoint) -> None:
        self._directory = directory
        self._checkpoint = checkpoint

    def _at(self, module: str, role: str) -> tuple[Path, int, int]:
        tensor = self._checkpoint.modules[module].tensor_names[role]
        path = self._directory / self._checkpoint.table.file_of[tensor]
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            row = json.loads(file.read(length))[tensor]
        start, end = row["data_offsets"]
        return path, 8 + length + start, end - start

    def read(self, module: str, role: str) -> bytes:
        path, start, length = self._at(module, role)
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def write(self, module: str, role: str, data: bytes) -> None:
        path, start, length = self._at(module, role)
        assert len(data) == length
        with path.open("r+b") as file:
            file.seek(start)
            file.write(data)

    def neighbour(self, module: str, role: str) -> str | None:
        """The module after it, else before it, whose tensor has another value of the same shape."""
        modules = self._checkpoint.modules
        held = modules[module].tensors[role]
        names = list(modules)
        place = names.index(module)
        mine = self.read(module, role)
        for name in (*names[place + 1 :], *reversed(names[:place])):
            other = modules[name].tensors.get(role)
            alike = other is not None and (other.dtype, other.shape) == (held.dtype, held.shape)
            if alike and self.read(name, role) != mine:
                return name
        return None

    def corrupt(self, corruption: Corruption) -> tuple[str, ...]:
        """Do it; the modules that are wrong now, none if nothing changed."""
        module, role, kind = corruption.module, corruption.role, corruption.kind
        before = self.read(module, role)
        if kind == "swap":
            other = self.neighbour(module, role)
            if other is None:
                return ()
            self.write(module, role, self.read(other, role))
            self.write(other, role, before)
            return module, other
        dtype = self._checkpoint.modules[module].tensors[role].dtype
        after = made_wrong(before, dtype, kind)
        self.write(module, role, after)
        return (module,) if after != before else ()


def made_wrong(data: bytes, dtype: str, kind: str) -> bytes:
    """The bytes of a tensor, twice as large, zero or NaN."""
    if dtype == "U8":  # E8M0: exponents, of which 255 is NaN; it has no zero, so its smallest
        change = {"x2": lambda b: min(b + 1, 254), "zero": lambda _: 0, "nan": lambda _: 255}[kind]
        return bytes(map(change, data))
    values = torch.frombuffer(bytearray(data), dtype=DTYPES[dtype])
    floats = values.float()
    made = {"x2": floats * 2, "zero": floats * 0, "nan": floats * float("nan")}[kind]
    if dtype == "F8_E4M3":
        made = made.clamp(-448, 448)
    return bytes(made.to(values.dtype).view(torch.uint8).tolist())
