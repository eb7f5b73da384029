"""A checkpoint while it is being broken."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from truth_loop.case import Tensor, TensorEdit


@dataclass
class Draft:
    """A checkpoint while it is being broken."""

    random: random.Random
    config: dict[str, Any]
    stored: dict[str, Tensor]
    """Tensors of the fixture."""
    names: dict[str, tuple[Tensor, str | None]] = field(default_factory=dict)
    """Tensor now -> what it is, and its name in the fixture."""
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = {name: (tensor, name) for name, tensor in self.stored.items()}

    @property
    def modules(self) -> list[str]:
        """Names of all modules that hold a tensor."""
        return sorted({name.rpartition(".")[0] for name in self.names} - {""})

    @property
    def text(self) -> dict[str, Any]:
        """The config of the language model."""
        for key in ("text_config", "llm_config"):
            if isinstance(self.config.get(key), dict):
                inner: dict[str, Any] = self.config[key]
                return inner
        return self.config

    def drop(self, keep: Callable[[str], bool]) -> bool:
        """Remove tensors; true if any went."""
        before = len(self.names)
        self.names = {name: held for name, held in self.names.items() if keep(name)}
        return len(self.names) < before

    def rename(self, new: Callable[[str], str]) -> bool:
        """Rename tensors; true if any name changed."""
        before = list(self.names)
        self.names = {new(name): held for name, held in self.names.items()}
        return list(self.names) != before

    def add(self, name: str, dtype: str, *shape: int) -> None:
        """A tensor of zeros."""
        self.names[name] = (dtype, shape), None

    def edits(self) -> dict[str, TensorEdit | None]:
        """What differs from the fixture."""
        changed: dict[str, TensorEdit | None] = {
            name: (*tensor, origin)
            for name, (tensor, origin) in self.names.items()
            if origin != name or self.stored[name] != tensor
        }
        return changed | dict.fromkeys(self.stored.keys() - self.names.keys())


Mutator = Callable[[Draft], str | None]
"""Breaks a draft and describes how; None if there is nothing to break."""
