"""What a rebuild does to one metadata file, and what it goes by."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.jsontext.text import JsonText, Path
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
    _counted: dict[Path, int] = field(default_factory=dict)
    """Path of a setting -> how many statements it sets, where it is not one."""

    def set(self, path: Path, value: object, *, statements: int = 1) -> None:
        """Give a member a value; `statements` is what the user is told it comes to."""
        self.settings[path] = value
        self._counted[path] = statements

    def append(self, path: Path, values: Sequence[str]) -> None:
        """Put names behind those of a list that is there."""
        self.appended.setdefault(path, []).extend(values)

    def add_to(self, path: Path, present: object, values: list[str]) -> None:
        """Put names into a list that may not be there; `present` is what stands there now."""
        if not values:
            return
        if isinstance(present, list):
            self.append(path, values)
        else:
            self.set(path, values, statements=len(values))

    def without_what_is_there(self, document: JsonText) -> "Changes":
        """The same, less the settings that the document has already."""
        kept = {p: v for p, v in self.settings.items() if not _is_there(document.value, p, v)}
        return replace(self, settings=kept)

    @property
    def rebuilt(self) -> int:
        """Statements set or added."""
        return sum(self._counted[path] for path in self.settings) + sum(
            map(len, self.appended.values())
        )


def _is_there(present: object, path: Path, wanted: object) -> bool:
    """True where a path holds a value that is written the same, the order of keys included."""
    for part in path:
        if not isinstance(present, dict) or part not in present:
            return False
        present = present[part]
    return json.dumps(present) == json.dumps(wanted)


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
