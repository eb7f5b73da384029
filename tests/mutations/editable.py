"""A checkpoint in memory that can be broken in one place and written again."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"
SCALES = ("weight_scale", "weight_scale_2", "input_scale", "k_scale", "v_scale")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a shard file."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass
class Editable:
    """JSON documents by file name, and shard files by name; meant to be changed."""

    documents: dict[str, dict[str, Any]]
    shards: dict[str, dict[str, StoredTensor]]
    moved: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """(shard file, tensor) -> what is added to its data_offsets when it is written."""
    cut: dict[str, int] = field(default_factory=dict)
    """Shard file -> bytes missing at its end."""

    def copy(self) -> "Editable":
        """One that can be changed without changing this one; the data is shared."""
        shards = {file: dict(tensors) for file, tensors in self.shards.items()}
        return Editable(copy.deepcopy(self.documents), shards)

    def write(self, directory: Path) -> Path:
        """Write every file."""
        directory.mkdir(parents=True)
        for file, document in self.documents.items():
            (directory / file).write_text(json.dumps(document, indent=2), encoding="utf-8")
        for file, tensors in self.shards.items():
            content = self._shard_bytes(file, tensors)
            (directory / file).write_bytes(content[: len(content) - self.cut.get(file, 0)])
        return directory

    def _shard_bytes(self, file: str, tensors: dict[str, StoredTensor]) -> bytes:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, tensor in tensors.items():
            start, end = end, end + len(tensor.data)
            first, last = self.moved.get((file, name), (0, 0))
            offsets = [start + first, end + last]
            header[name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": offsets,
            }
        encoded = json.dumps(header).encode()
        data = b"".join(tensor.data for tensor in tensors.values())
        return len(encoded).to_bytes(8, "little") + encoded + data

    @property
    def quantization(self) -> list[dict[str, Any]]:
        """The object that describes the quantization, of every file that holds one."""
        found = [self.documents["config.json"].get("quantization_config")]
        found.append(self.documents.get("hf_quant_config.json", {}).get("quantization"))
        return [one for one in found if one]

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """`quantized_layers` of the first file that holds it."""
        for quantization in self.quantization:
            if layers := quantization.get("quantized_layers"):
                return dict(layers)
        return {}

    @property
    def patterns(self) -> list[str]:
        """The exclude patterns of the first file that holds any."""
        for quantization in self.quantization:
            for key in ("ignore", "exclude_modules"):
                if found := quantization.get(key):
                    return list(found)
        return []

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        """All tensors of all shard files."""
        return {name: t for tensors in self.shards.values() for name, t in tensors.items()}

    def quantized_modules(self) -> list[str]:
        """Names of the modules that have a weight_scale."""
        end = ".weight_scale"
        return sorted(name.removesuffix(end) for name in self.tensors if name.endswith(end))

    def parts_of(self, module: str) -> dict[str, StoredTensor]:
        """The tensors directly in a module, by full name."""
        return {n: t for n, t in self.tensors.items() if n.rpartition(".")[0] == module}

    def file_of(self, tensor: str) -> str:
        """The shard file that holds it."""
        return next(file for file, tensors in self.shards.items() if tensor in tensors)

    def change_entries(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Change `quantized_layers` in every file, and the targets of config_groups likewise."""
        for quantization in self.quantization:
            if "quantized_layers" in quantization:
                quantization["quantized_layers"] = change(quantization["quantized_layers"])
                _follow(quantization)

    def change_patterns(self, change: Callable[[list[str]], list[str]]) -> None:
        """Change the exclude patterns of every file."""
        for quantization in self.quantization:
            key = "exclude_modules" if "exclude_modules" in quantization else "ignore"
            quantization[key] = change(quantization.get(key, []))

    def replace_tensor(self, name: str, tensor: StoredTensor) -> None:
        """Store another tensor under the same name, in the same shard file."""
        self.shards[self.file_of(name)][name] = tensor
        self._right_size()

    def drop_tensor(self, name: str) -> None:
        """Take it from its shard file and from the index."""
        del self.shards[self.file_of(name)][name]
        self.weight_map.pop(name, None)
        self._right_size()

    def rename_tensor(self, old: str, new: str) -> None:
        """Give it another name in its shard file and in the index."""
        file = self.file_of(old)
        self.shards[file] = {new if n == old else n: t for n, t in self.shards[file].items()}
        if old in self.weight_map:
            self.weight_map[new] = self.weight_map.pop(old)

    def add_tensor(self, name: str, tensor: StoredTensor, beside: str) -> None:
        """Store one more tensor in the shard file of another one."""
        file = self.file_of(beside)
        self.shards[file][name] = tensor
        if beside in self.weight_map:
            self.weight_map[name] = file
        self._right_size()

    @property
    def weight_map(self) -> dict[str, str]:
        """That of the index; an empty one that goes nowhere where there is no index."""
        found: dict[str, str] = self.documents.get(INDEX, {}).get("weight_map", {})
        return found

    def _right_size(self) -> None:
        if "total_size" in self.documents.get(INDEX, {}).get("metadata", {}):
            size = sum(len(tensor.data) for tensor in self.tensors.values())
            self.documents[INDEX]["metadata"]["total_size"] = size


def read_editable(directory: Path) -> Editable:
    """Everything that `check` reads in a directory."""
    documents = {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("*.json"))
        if path.name in ("config.json", "hf_quant_config.json", INDEX)
    }
    return Editable(documents, {p.name: _shard(p) for p in directory.glob("*.safetensors")})


def _shard(path: Path) -> dict[str, StoredTensor]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    data = content[8 + size :]
    by_place = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    return {
        name: StoredTensor(row["dtype"], tuple(row["shape"]), data[slice(*row["data_offsets"])])
        for name, row in by_place
    }


def _follow(quantization: dict[str, Any]) -> None:
    """Let config_groups name what quantized_layers names, in its order."""
    layers = quantization["quantized_layers"]
    for group in quantization.get("config_groups", {}).values():
        targets = group["targets"]
        known = [layers[name] for name in targets if name in layers]
        if known:
            group["targets"] = [name for name, entry in layers.items() if entry == known[0]]
