"""What a rebuild does to one metadata file, and what it goes by."""

from dataclasses import dataclass, field

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.jsontext.text import Path
from ckptfix.names import is_regex
from ckptfix.rewriting.rebuild.stored_layers import StoredLayer, StoredLayers
from ckptfix.rules.names import is_dropped_tied_head
from ckptfix.runtimes.naming import Naming


@dataclass(frozen=True)
class Sources:
    """What every step of a rebuild sees."""

    checkpoint: Checkpoint
    naming: Naming
    layers: StoredLayers
    kv_cache_quant_algo: str | None
    """As a file says; else FP8 where the tensors hold k_scale and v_scale."""

    def modules_of(self, name: str) -> tuple[str, ...]:
        """The modules that an entry or target stands for, in whatever spelling it has."""
        found = self.naming.read_name(name).modules
        if found:
            return found
        mapped = self.naming.name_map.mapper.map(name)
        return self.naming.read_name(mapped).modules if mapped else ()

    def is_sound(self, pattern: str) -> bool:
        """False for a pattern over a quantized module, over none, or in another dialect.

        A tied lm_head may be excluded though the file does not hold it.
        """
        if is_regex(pattern):
            return False
        modules = self.naming.read_pattern(pattern).modules
        if not modules:
            # Names that the name map repairs are left to it.
            mapped = self.naming.name_map.mapper.map(pattern)
            return mapped != pattern or is_dropped_tied_head(self.checkpoint, pattern)
        return not any(map(self.is_quantized, modules))

    def is_quantized(self, module: str) -> bool:
        """True also for tensors that are quantized in no known format."""
        return self.checkpoint.formats[module].is_quantized


@dataclass
class Changes:
    """Collected while a file is gone through; edits are made of it at the end."""

    removals: set[Path] = field(default_factory=set)
    settings: dict[Path, object] = field(default_factory=dict)
    appended: dict[Path, list[object]] = field(default_factory=dict)
    rebuilt: int = 0
    """Statements set or added."""

    def add_to(self, path: Path, present: object, values: list[str]) -> None:
        """Put names into a list that may not be there; `present` is what stands there now."""
        if not values:
            return
        if isinstance(present, list):
            self.appended.setdefault(path, []).extend(values)
        else:
            self.settings[path] = values
        self.rebuilt += len(values)


def config_group(layer: StoredLayer, targets: list[str]) -> dict[str, object] | None:
    """A value of config_groups; None for an algorithm that has none."""
    row = format_named(layer.quant_algo)
    if row is None or not row.has_config_group:
        return None
    codes = row.codes
    spec: dict[str, object] = {"dynamic": False, "num_bits": codes.bits, "type": codes.kind}
    if layer.group_size is not None:
        spec["group_size"] = layer.group_size
    activations = {} if row.inputs.is_unquantized else {"input_activations": dict(spec)}
    return {**activations, "weights": spec, "targets": targets}
