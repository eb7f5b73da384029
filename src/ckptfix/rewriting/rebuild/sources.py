"""The inputs of a rebuild: the tensors, and the modules that names match."""

from fnmatch import fnmatchcase
from functools import cached_property

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.layers import StoredLayers
from ckptfix.rewriting.rebuild.stored_layers import tied_head_to_exclude
from ckptfix.rules.names import is_about_absent_modules
from ckptfix.runtimes.naming import Naming


class Sources(Struct, frozen=True, dict=True):
    """The input of a dialect's writer: `Stored`."""

    checkpoint: Checkpoint
    naming: Naming
    layers: StoredLayers
    kv_cache_quant_algo: str | None
    """As a file declares; otherwise FP8 if the tensors include k_scale and v_scale."""

    @cached_property
    def quantized(self) -> tuple[str, ...]:
        """Every quantized module, including those whose tensors fit no format."""
        return tuple(filter(self._is_quantized, self.checkpoint.formats))

    def _is_quantized(self, module: str) -> bool:
        """True if zero points and order come from the quantizer itself."""
        checkpoint = self.checkpoint
        return checkpoint.formats[module].is_quantized and module not in checkpoint.left_alone

    def modules_of(self, name: str) -> tuple[str, ...]:
        """The modules that an entry or target matches, in either spelling."""
        found = self.naming.read_name(name).modules
        if found:
            return found
        mapped = self.naming.name_map.mapper.map(name)
        return self.naming.read_name(mapped).modules if mapped else ()

    def covered_by(self, pattern: str) -> tuple[str, ...]:
        """The modules that every runtime excludes by a pattern.

        vLLM does not exclude `lm_head` by `lm_head.*`.
        """
        covered = self.naming.read_pattern(pattern).modules
        head = self._absent_head
        if head and any(fnmatchcase(name, pattern) for name in self._spellings(head)):
            covered = (*covered, head)
        if not pattern.endswith(".*"):
            return covered
        indexes = self.naming.runtime_names, self.naming.checkpoint_names
        itself = {index.module_of.get(pattern.removesuffix(".*")) for index in indexes}
        return tuple(module for module in covered if module not in itself)

    @cached_property
    def _absent_head(self) -> str | None:
        return tied_head_to_exclude(self.checkpoint)

    def _spellings(self, name: str) -> set[str]:
        return {name, self.naming.name_map.mapper.map(name) or name}

    def is_sound(self, pattern: str) -> bool:
        """False for a pattern over a quantized module, or over none.

        A tied lm_head, or draft layers, may be excluded even if they are not stored.
        """
        modules = self.naming.read_pattern(pattern).modules
        if not modules:
            # The name map repairs these names.
            mapped = self.naming.name_map.mapper.map(pattern)
            return mapped != pattern or is_about_absent_modules(self.checkpoint, pattern)
        return not any(map(self._is_quantized, modules))

    def fits(self, module: str, quant_algo: str | None, group_size: int | None) -> bool:
        """True if the tensors of a module fit what an entry declares."""
        fit = self.checkpoint.formats[module].fit(quant_algo)
        if fit is None:
            return False
        unsaid = not fit.format.writes_group_size and group_size is None
        return unsaid or (fit.group_size or None) == group_size
