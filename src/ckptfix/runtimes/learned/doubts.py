"""Why learned rows may not be enough for a verdict on a checkpoint.

Rows record what a class did with the names and configs that were tried. A verdict requires that
this checkpoint is covered: all its names are known, every block has the names of some block seen,
and modules stored quantized were seen to load that way.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cached_property
from typing import Any, Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.jsontext.text import pointer
from ckptfix.runtimes.draft_classes import is_draft
from ckptfix.runtimes.learned.placing import row_of
from ckptfix.runtimes.learned.sparse_layers import misplaced
from ckptfix.runtimes.learned.store import Learned
from ckptfix.runtimes.learned.stored_blocks import StoredBlocks
from ckptfix.runtimes.learned.table import Table, mask, numbers_of
from ckptfix.text import visible

_PROOFS: Final[Mapping[str, str]] = {
    "FP8": "8",
    "NVFP4": "4",
    "NVFP4_AWQ": "4",
    "W4A16_NVFP4": "4",
}
_MIXED: Final = "m"
_LAYERS: Final = ".layers.#"
"""`structure` checks the number of these blocks."""
_NUMBER_OF_BLOCKS: Final = "n_layer"
"""Key of older config classes for num_hidden_layers."""
_OF_MODEL: Final = re.compile(r"(?:^|\.)(?:embed_tokens|lm_head|shared_head\.head)\.weight\Z")
_QUANTIZABLE: Final = ("linear", "experts", "head")


def _whole_name(block: str, below: str) -> str:
    return f"{mask(block)}.{below}" if block else below


class Doubts(Struct, frozen=True, dict=True):
    """A checkpoint compared with what was tried for a class."""

    checkpoint: Checkpoint
    learned: Learned
    lacks: tuple[str, ...] = ()
    """As in `Expected`, like the next two."""
    drops_tables: frozenset[str] = frozenset()
    ties_differ: bool = False

    @cached_property
    def table(self) -> Table:
        """Where its class puts tensors."""
        return self.learned.names_for(self.checkpoint.config)

    def first(self, quantized: Mapping[str, str], *, mixed: bool) -> str:
        """The first reason against a verdict; empty if there is none.

        Args:
            quantized: checkpoint module -> quant_algo, if the release builds it quantized.
            mixed: the release reads the metadata per layer.
        """
        return self._first(self._quantized(quantized, mixed=mixed))

    def first_of_others(self, quantized: Mapping[str, str], seen: Set[str]) -> str:
        """The same where the metadata is of another quantizer than ModelOpt.

        Args:
            quantized: checkpoint module -> stored format, if the release builds it quantized.
            seen: the formats that the class was seen to load.
        """
        return self._first(self._quantized_by_others(quantized, seen))

    def _first(self, quantized: Iterator[str]) -> str:
        every = (
            self._whole(),
            map(never_without, self.lacks),
            self._names(),
            self._shapes(),
            misplaced(self.checkpoint.config, self._blocks),
            self._head(),
            quantized,
            self._cache(),
        )
        return next((reason for reasons in every for reason in reasons), "")

    def _whole(self) -> Iterator[str]:
        if not self.learned.origin.single_pass:
            yield "its loader left parameters unfilled when it was learned"
        used = self.learned.origin.only_type
        if used and self.checkpoint.config.values.get("model_type") != used:
            yield f"it was observed only with a config.json of model_type {visible(used)}"

    def _names(self) -> Iterator[str]:
        known, unused = self.table.tensors, frozenset(self.table.record.unused)
        for block, names in self._blocks.items():
            for name in sorted(names):
                masked = _whole_name(block, name)
                if masked in known or (not block and masked in self._block_names):
                    continue
                if masked not in unused:
                    yield f"loading tensors like {visible(masked)} was not observed"
                elif not self._is_tied_head(masked):
                    yield f"it was observed to skip tensors like {visible(masked)}"
        unclear = self.table.unclear
        for module in self.checkpoint.modules.values() if unclear else ():
            row = row_of(module, self.table)
            if row and row.stored in unclear and row.kind in _QUANTIZABLE:
                yield f"the name that it looks up for {visible(row.stored)} is not certain"

    @cached_property
    def _blocks(self) -> Mapping[str, frozenset[str]]:
        blocks = StoredBlocks.of(self.checkpoint, drafts=not self._skips_drafts).names
        if not self.drops_tables:
            return blocks
        modules = (self.checkpoint.modules[name] for name in self.drops_tables)
        dropped = {mask(tensor) for m in modules for tensor in m.tensor_names.values()}
        return {
            block: frozenset(n for n in names if _whole_name(block, n) not in dropped)
            for block, names in blocks.items()
        }

    @cached_property
    def _skips_drafts(self) -> bool:
        """The class passes over the draft layers, as config.json declares them."""
        key, declared = self.table.record.skips_drafts, self.checkpoint.config.draft_layers
        return bool(key and declared and declared.pointer == pointer(tuple(key.split("."))))

    @cached_property
    def _block_names(self) -> frozenset[str]:
        return frozenset(mask(block) for block in self._blocks if block)

    def _is_tied_head(self, masked: str) -> bool:
        row = self.table.rows.get(masked.removesuffix(".weight"))
        is_head = masked.rpartition(".weight")[0].endswith("lm_head") or (
            row and row.kind == "head"
        )
        return bool(is_head and self.checkpoint.config.tied_embeddings)

    def _shapes(self) -> Iterator[str]:
        config = self.checkpoint.config.values
        unused = frozenset(self.table.record.unused)
        seen: set[tuple[str, frozenset[str]]] = set()
        numbers: dict[str, set[int]] = {}
        for block, names in self._blocks.items():
            pattern = mask(block)
            if block:
                numbers.setdefault(pattern, set()).add(int(numbers_of(block)[-1]))
            start = f"{pattern}." if pattern else ""
            shape = self._own(frozenset(n for n in names if f"{start}{n}" not in unused))
            if (pattern, shape) not in seen:
                seen.add((pattern, shape))
                yield from self._shape(pattern, shape, config)
        yield from self._numbers(numbers)

    def _head(self) -> Iterator[str]:
        """Which of two values ties the head differs from class to class."""
        config = self.checkpoint.config
        outer, inner = config.tied_by_wrapper, config.tied_embeddings
        if self.learned.unsettled_heads and (outer or inner is not False):
            yield "whether it builds a tied head changed between the releases that were learned"
        if not self.ties_differ or not self.learned.origin.heads:
            return
        rows = (row_of(module, self.table) for module in self.checkpoint.modules.values())
        if not any(row and row.kind == "head" for row in rows):
            yield "tie_word_embeddings is true for one part of config.json and false for another"

    def _shape(
        self, pattern: str, shape: frozenset[str], config: Mapping[str, Any]
    ) -> Iterator[str]:
        where = visible(pattern) if pattern else "the top level"
        shapes = self.table.shapes(pattern, config)
        if shapes is None:
            yield f"what it builds at {where} was not observed for this config.json"
        elif shape not in (shapes := tuple(map(self._own, shapes))):
            nearest = min(shapes, key=lambda known: (len(known ^ shape), sorted(known)))
            missing, extra = sorted(nearest - shape), sorted(shape - nearest)
            what = f"no {visible(missing[0])}" if missing else f"an extra {visible(extra[0])}"
            yield f"building {where} with {what} was not observed"

    def _own(self, names: frozenset[str]) -> frozenset[str]:
        """Without those that draft layers have from their model where they are not stored again."""
        return frozenset(n for n in names if not _OF_MODEL.search(n)) if self._is_draft else names

    @cached_property
    def _is_draft(self) -> bool:
        return is_draft(self.learned.runtime, self.learned.architecture)

    def _numbers(self, numbers: Mapping[str, set[int]]) -> Iterator[str]:
        config = self.checkpoint.config
        number = config.num_hidden_layers or config.number(_NUMBER_OF_BLOCKS)
        for pattern, found in numbers.items():
            observed = set(self.table.record.blocks[pattern].numbers or range(len(found)))
            # Draft layers are numbered from 0, or after the layers of the model.
            moved = self._is_draft and min(found) in (0, number)
            like = _from_zero(found) == _from_zero(observed) if moved else found == observed
            if not like:
                yield f"the numbers of {visible(pattern)} differ from those observed"
        if self._is_draft:
            return
        counted = any(pattern.endswith(_LAYERS) for pattern in numbers)
        drafts = config.draft_layers
        if number is not None and drafts and not self._skips_drafts:
            after = range(number, number + drafts.number)
            if any(not found.isdisjoint(after) for p, found in numbers.items() if _LAYERS in p):
                yield f"loading draft layers, after {number:,} others, was not observed"
        if number is not None and not counted and number not in map(len, numbers.values()):
            yield f"{number:,} layers are declared, but no block is stored that often"
        if number is None and not counted and numbers:
            yield "config.json does not declare how many layers there are"

    def _quantized(self, quantized: Mapping[str, str], *, mixed: bool) -> Iterator[str]:
        modules = self.checkpoint.modules
        for name, algo in quantized.items():
            row = row_of(modules[name], self.table)
            proof = _PROOFS.get(algo)
            seen = row.proved if row else ""
            if proof is None or proof not in seen or (mixed and _MIXED not in seen):
                yield f"loading {visible(mask(name))} as {algo} was not observed"

    def _quantized_by_others(self, quantized: Mapping[str, str], seen: Set[str]) -> Iterator[str]:
        """A module must be one that was seen to load in a format of ModelOpt, too."""
        for name, stored in quantized.items():
            row = row_of(self.checkpoint.modules[name], self.table)
            if stored not in seen or row is None or not row.proved:
                yield f"loading {visible(mask(name))} as {stored} was not observed"

    def _cache(self) -> Iterator[str]:
        modules = self.checkpoint.modules.values()
        has_scales = any(not m.tensors.keys().isdisjoint(KV_ROLES) for m in modules)
        record = self.table.record
        if has_scales and record.kv_scales is None and not record.stops_at_kv_scales:
            yield "loading scales of the KV cache was not observed"


def never_without(name: str) -> str:
    """Why there is no verdict without a key of config.json that a class was seen to need."""
    return f"it was observed only with {visible(name)} in config.json, which is missing"


def lacked(checkpoint: Checkpoint, needs: Iterable[str]) -> tuple[str, ...]:
    """Those of the keys, each with its path, that config.json does not have."""
    values = checkpoint.config_values
    if values is None:
        return ()
    paths = {name: name.split(".") for name in needs}
    holders = {name: find_at(values, path[:-1]) for name, path in paths.items()}
    return tuple(
        name
        for name, holder in holders.items()
        if not isinstance(holder, dict) or paths[name][-1] not in holder
    )


def _from_zero(numbers: set[int]) -> set[int]:
    return {number - min(numbers) for number in numbers}
