"""The stored format of each module in each layer, and where a release builds a different one.

`inspect` shows it as text, the page of `check` as a picture.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import Banks
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.module_verdict import UNQUANTIZED
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target

ABSENT: Final = " "
"""The letter for a layer without such a module."""
SEVERAL: Final = "*"
"""The letter for experts of one layer that are stored in several formats."""
_LETTERS: Final = {UNQUANTIZED: ".", "unrecognized": "?"}
"""Formats whose letter does not follow from their name."""
_LAYER: Final = re.compile(r"(?:^|\.)([0-9]{1,9})\.")
_NUMBER: Final = re.compile(r"(?<=\.)[0-9]+(?=\.|$)")


class Difference(Struct, frozen=True):
    """A format that some releases build instead of the stored one."""

    releases: tuple[Target, ...]
    resolved: str
    """A quant_algo, `unquantized` or `error`."""
    reason: str


class Spot(Struct, frozen=True):
    """The modules of one kind in one layer: one, or all experts."""

    modules: tuple[str, ...]
    """Checkpoint names; of a folded bank, those of expert 0."""
    formats: tuple[str, ...]
    """Stored formats, sorted: more than one where experts differ."""
    differences: tuple[Difference, ...] = ()

    @property
    def format(self) -> str:
        """The stored format, or several, joined by `and`."""
        return " and ".join(self.formats)


class Row(Struct, frozen=True):
    """One kind of module through all layers of a stack."""

    name: str
    """Its name in the layer, with the numbers of experts masked: `mlp.experts.*.up_proj`."""
    spots: tuple[Spot | None, ...]
    """For each layer; None if it has no such module."""
    letters: str
    """One for each layer."""


class Stack(Struct, frozen=True):
    """Layers that are numbered under one name."""

    name: str
    """What comes before the number: `model.layers`; empty for modules outside of any layer."""
    layers: tuple[int, ...]
    """Their numbers, ascending; one zero for modules outside of any layer."""
    rows: tuple[Row, ...]


class Legend(Struct, frozen=True):
    """The letter of a stored format."""

    letter: str
    format: str


class LayerMap(Struct, frozen=True):
    """Every module with a weight of two or more dimensions, or one that is quantized."""

    stacks: tuple[Stack, ...]
    """In the order of the tensors; the modules outside of any layer come last."""
    legend: tuple[Legend, ...]
    """Most frequent first, unquantized last."""
    banks: Banks | None = None
    """Expert banks whose expert 0 represents all of them in the names of modules."""

    @property
    def differs(self) -> bool:
        """True if some release builds a module in a different format than stored."""
        return any(s and s.differences for k in self.stacks for r in k.rows for s in r.spots)


def layer_map(
    checkpoint: Checkpoint, name_map: NameMap, verdicts: Sequence[TargetVerdict] = ()
) -> LayerMap:
    """The map of a checkpoint; a folded one is faster.

    Args:
        checkpoint: whose modules.
        name_map: how names in its metadata are read.
        verdicts: of the releases whose differences are marked.
    """
    labels = Declarations.of(checkpoint, name_map).labels
    shown = [name for name in checkpoint.modules if _is_shown(checkpoint, name)]
    counts = Counter[str]()
    for name in shown:
        counts[labels[name]] += checkpoint.banks.number(name) if checkpoint.banks else 1
    legend = tuple(_legend(counts))
    letters = {entry.format: entry.letter for entry in legend}
    different = _differences(verdicts)
    grid: dict[str, dict[str, dict[int, list[str]]]] = {}
    for name in shown:
        stack, layer, part = _placed(name)
        grid.setdefault(stack, {}).setdefault(part, {}).setdefault(layer, []).append(name)
    stacks = []
    for stack, parts in sorted(grid.items(), key=lambda item: not item[0]):
        layers = tuple(sorted({layer for spots in parts.values() for layer in spots}))
        rows = []
        for part, spots in sorted(parts.items()):
            found = (_spot(spots.get(layer, ()), labels, different) for layer in layers)
            every = tuple(found)
            rows.append(Row(part, every, "".join(_letter(spot, letters) for spot in every)))
        stacks.append(Stack(stack, layers, tuple(rows)))
    return LayerMap(tuple(stacks), legend, checkpoint.banks)


def _is_shown(checkpoint: Checkpoint, name: str) -> bool:
    if checkpoint.formats[name].is_quantized:
        return True
    weight = checkpoint.modules[name].weight
    return weight is not None and len(weight.shape) > 1


def _placed(name: str) -> tuple[str, int, str]:
    """The stack of a module, its layer and its name there.

    >>> _placed("model.layers.3.mlp.experts.7.up_proj")
    ('model.layers', 3, 'mlp.experts.*.up_proj')
    >>> _placed("lm_head"), _placed("mlp1.3"), _placed("experts.0.up")
    (('', 0, 'lm_head'), ('', 0, 'mlp1.3'), ('', 0, 'experts.*.up'))
    """
    found = _LAYER.search(name)
    if found is None:
        return "", 0, name
    head, rest = name[: found.start()], name[found.end() :]
    if head.rpartition(".")[2] == "experts":
        return "", 0, _NUMBER.sub("*", name)
    return head, int(found[1]), _NUMBER.sub("*", f".{rest}")[1:]


def _spot(
    names: Sequence[str], labels: Mapping[str, str], different: Mapping[str, list[Difference]]
) -> Spot | None:
    if not names:
        return None
    differences = dict.fromkeys(one for name in names for one in different.get(name, ()))
    return Spot(tuple(names), tuple(sorted({labels[n] for n in names})), tuple(differences))


def _letter(spot: Spot | None, letters: Mapping[str, str]) -> str:
    if spot is None:
        return ABSENT
    return letters[spot.formats[0]] if len(spot.formats) == 1 else SEVERAL


def _legend(counts: Mapping[str, int]) -> Iterator[Legend]:
    """A letter for each format: the first of its name that is not taken by a more frequent one."""
    taken = set(_LETTERS.values())
    for label in sorted(counts, key=lambda name: (name == UNQUANTIZED, -counts[name], name)):
        letter = _LETTERS.get(label) or _free_letter(label, taken)
        taken.add(letter)
        yield Legend(letter, label)


def _free_letter(label: str, taken: set[str]) -> str:
    candidates = (*label.upper(), *map(chr, range(ord("A"), ord("Z") + 1)))
    free = (c for c in candidates if c.isascii() and c.isalnum() and c not in taken)
    return next(free, "+")


def _differences(verdicts: Iterable[TargetVerdict]) -> dict[str, list[Difference]]:
    """Checkpoint name -> formats built instead, with equal releases grouped."""
    found: dict[str, dict[tuple[str, str], list[Target]]] = {}
    for verdict in verdicts:
        for module in verdict.wrong:
            for member in module.members:
                why = module.resolved, module.reason
                found.setdefault(member, {}).setdefault(why, []).append(verdict.target)
    return {
        name: [Difference(tuple(those), *why) for why, those in reasons.items()]
        for name, reasons in found.items()
    }
