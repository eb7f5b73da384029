"""What the metadata say: statements, each with the file and JSON pointer where it stands."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from ckptfix.jsontext.text import Path, pointer
from ckptfix.place import Place

CONFIG_FILE: Final = "config.json"
HF_QUANT_FILE: Final = "hf_quant_config.json"
QUANT_CFG_FILE: Final = "quant_cfg.json"
CONFIG_ROOT: Final = ("quantization_config",)
NESTED: Final = "quantization"
"""Key of the object that hf_quant_config.json, and some config.json, wrap the fields in."""
MIXED: Final = "MIXED_PRECISION"

StatementKind = Literal["entry", "exclude", "target"]


@dataclass(frozen=True)
class Statement:
    """One place where metadata names a module or a pattern over modules."""

    kind: StatementKind
    """entry: a key of quantized_layers; exclude: an item of ignore or exclude_modules;
    target: an item of config_groups[*].targets."""
    name: str
    file: str
    path: Path
    quant_algo: str | None = None
    """Entries only; None says that the module is not quantized."""
    group_size: int | None = None

    @property
    def place(self) -> Place:
        """File and JSON pointer."""
        return Place(self.file, pointer(self.path))

    @property
    def key(self) -> str:
        """The field that holds it: `quantized_layers`, `ignore`, `exclude_modules`, `targets`."""
        return next(str(p) for p in reversed(self.path[:-1]) if isinstance(p, str))


@dataclass(frozen=True)
class Fault:
    """A field whose JSON type is not the one that ModelOpt writes; it is read as if absent."""

    place: Place
    expected: str
    """The type that ModelOpt writes."""


@dataclass(frozen=True)
class MetadataFile:
    """What one file says."""

    file: str
    root: Path
    """Path of the quantization object inside the file."""
    quant_algo: str | None
    """Of the whole checkpoint; `MIXED_PRECISION` when quantized_layers decides."""
    group_size: int | None
    kv_cache_quant_algo: str | None
    producer: str
    """Name and version of the exporter; empty if not said."""
    statements: tuple[Statement, ...]
    quant_method: str | None = None
    """config.json only: absent before ModelOpt 0.35."""
    faults: tuple[Fault, ...] = ()

    def of_kind(self, kind: StatementKind) -> tuple[Statement, ...]:
        """The statements of one kind, in the order of the file."""
        return self._by_kind[kind]

    @cached_property
    def _by_kind(self) -> dict[StatementKind, tuple[Statement, ...]]:
        kinds: tuple[StatementKind, ...] = ("entry", "exclude", "target")
        return {kind: tuple(s for s in self.statements if s.kind == kind) for kind in kinds}

    @property
    def is_mixed(self) -> bool:
        """True when quantized_layers names each quantized module."""
        return (self.quant_algo or "").upper() == MIXED

    @property
    def exclude_list(self) -> Path:
        """Path of the list of exclude patterns that the file has, or would have.

        A runtime that finds both in config.json reads `ignore` (vLLM 0.33.0, modelopt.py).
        """
        lists = [s.path[:-1] for s in self.of_kind("exclude")]
        usual = "exclude_modules" if self.root[-1:] == (NESTED,) else "ignore"
        return lists[0] if lists else (*self.root, usual)

    @property
    def place(self) -> Place:
        """The quantization object."""
        return Place(self.file, pointer(self.root))
