"""The result of one architecture -> what the product keeps of it: see `ckptfix.runtimes.learned`.

Pure; nothing of a runtime is needed here.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from place_learner import cache_scales, drafts
from place_learner.masks import carried, mask, numbers
from place_learner.outcomes import ALWAYS, Outcome, Places

Result = Mapping[str, Any]
SPELLINGS: Final = ("saved", "legacy", "own", "with_tied")
_KINDS: Final[Mapping[str, str]] = {
    "torch.linear": "linear",
    "torch.embedding": "embedding",
    "attn": "other",
}
_PROOFS: Final = {"FP8": "8", "NVFP4": "4", "MIXED_PRECISION": "m"}
_NOT_STORED: Final = re.compile(
    r"\.(?:k|v|q|prob)_scale\Z|\.norm_(?:mean|std)\Z|(?:^|\.)position_ids\Z"
)
"""Parameters that no checkpoint needs to fill: scales of the attention cache, means of pixels."""
_EXPERT: Final = ".experts."
_FIRST_NUMBER: Final = re.compile(r"(?:.*?\.)??\d+(?=\.)")


@dataclass
class _Names:
    """What is known of a block's tensors."""

    order: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name below the block, masked -> place and offset there, for the order of packed members."""
    outcomes: dict[str, dict[str, dict[Outcome, None]]] = field(default_factory=dict)
    """Name -> condition -> outcomes, of the matrices."""
    shapes: dict[str, dict[frozenset[str], None]] = field(default_factory=dict)
    """Condition -> the sets of names that a block may hold."""
    numbers: set[int] = field(default_factory=set)


def split(tensor: str) -> tuple[str, str]:
    """The block that a tensor lies in, up to its first number, and the name below it.

    >>> split("model.layers.3.mlp.experts.7.down_proj.weight")
    ('model.layers.3', 'mlp.experts.7.down_proj.weight')
    >>> split("lm_head.weight")
    ('', 'lm_head.weight')
    """
    found = _FIRST_NUMBER.match(tensor)
    return (found[0], tensor[found.end() + 1 :]) if found else ("", tensor)


def unwritten(load: Result, *, is_draft: bool = False) -> list[str]:
    """The parameters that a checkpoint has to fill, and that stay as they were.

    A draft may take embeddings and head from its target.
    """
    return [
        name
        for name in load["never_written"]
        if not _NOT_STORED.search(name) and not (is_draft and drafts.is_of_target(name))
    ]


def is_whole(load: Result, *, is_draft: bool = False) -> bool:
    """True where all tensors load in one pass and fill every parameter."""
    return bool(load["single_pass"] and load["lands"] and not unwritten(load, is_draft=is_draft))


def table(result: Result) -> dict[str, Any]:
    """What the product keeps of a built architecture, equal for classes that do the same."""
    blocks: dict[str, _Names] = {}
    unused: set[str] = set()
    unclear: set[str] = set()
    runs = result["runs"]
    is_draft = drafts.is_draft(result["architecture"])
    for run in runs:
        condition = condition_of(run)
        loads = [run["loads"][s] for s in SPELLINGS if s in run.get("loads", {})]
        whole = [load for load in loads if is_whole(load, is_draft=is_draft)]
        if not whole and not run["variant"]:
            whole = loads[:1]
        for load in whole:
            unused.update(_unused(load))
            unclear.update(_collect(blocks, load, run["modules"], condition))
        if not whole and condition != ALWAYS:
            for names in blocks.values():
                names.shapes.setdefault(condition, {})
    proofs = _proofs(result.get("passes", ()))
    out = {
        "blocks": {b: _block(names, f"{b}.".lstrip("."), proofs) for b, names in _ordered(blocks)},
        "values": _values(result.get("values", {}), blocks),
        "unused": sorted(
            unused - {_below(b, n) for b, names in blocks.items() for n in names.order}
        ),
        "unclear": sorted(unclear),
        "dropped": _dropped(result.get("passes", ())),
        "kv_scales": cache_scales.loaded(result.get("passes", ())),
        "stops_at_kv_scales": cache_scales.stops(result.get("passes", ())),
        "skips_drafts": result.get("skips_drafts") or None,
        "packed": {k: list(v) for k, v in sorted(runs[0]["packed"].items())},
        "inner": runs[0]["inner"],
    }
    kept = {key: value for key, value in out.items() if value not in ({}, [], None)}
    mappers = runs[0].get("mappers")
    return kept if mappers is None else {**kept, "mappers": mappers}


def _below(block: str, name: str) -> str:
    return f"{block}.{name}" if block else name


def _unused(load: Result) -> set[str]:
    """Names that the loader passes over, masked, but for experts of which it takes the first ones.

    transformers 5.19.0 saves LongCat's gates with rows for experts that compute nothing.
    """
    taken = {mask(name) for name in load["lands"] if _EXPERT in name}
    return {mask(name) for name in load["unused"]} - taken


def condition_of(run: Result) -> str:
    """``key=value`` of a run with one value changed, the value as JSON.

    A list says which layers are of a kind, and both kinds may be in a model, whatever it names.
    """
    if not run["variant"] or isinstance(run["value"], list):
        return ALWAYS
    return f"{run['variant']}={json.dumps(run['value'])}"


def _collect(
    blocks: dict[str, _Names], load: Result, modules: Sequence[Result], condition: str
) -> Iterator[str]:
    """Put a load into the blocks; stored patterns whose numbers do not carry over."""
    at = {row["place"]: row for row in modules}
    held: dict[str, set[str]] = {"": set()}
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for tensor, reached in load["lands"].items():
        block, below = split(tensor)
        names = blocks.setdefault(mask(block), _Names())
        name = mask(below)
        held.setdefault(block, set()).add(name)
        if block:
            names.numbers.add(numbers(block)[0])
            held[""].add(f"{mask(block)}")
        place, offset = reached[0][0].rpartition(".")[0], reached[0][1]
        names.order.setdefault(name, (mask(place), offset))
        if len(load["tensors"][tensor]) < 2:
            continue
        for parameter, _ in reached:
            place = parameter.rpartition(".")[0]
            row = at.get(place, {"kind": "other", "asked": None})
            for asked in row["asked"] or [None]:
                kind = _KINDS.get(str(row["kind"]), str(row["kind"]))
                outcome: Outcome = (mask(place), asked if asked is None else mask(asked), kind)
                seen = names.outcomes.setdefault(name, {})
                seen.setdefault(condition, {})[outcome] = None
                for other in (place, asked or ""):
                    pairs.setdefault((mask(tensor), mask(other)), []).append((tensor, other))
    blocks.setdefault("", _Names())
    for block, found in held.items():
        shapes = blocks[mask(block)].shapes.setdefault(condition, {})
        shapes[frozenset(found)] = None
    for (stored, _), names_of in pairs.items():
        if not carried(names_of):
            yield stored


def _ordered(blocks: Mapping[str, _Names]) -> Iterable[tuple[str, _Names]]:
    return sorted(blocks.items())


def _block(names: _Names, start: str, proofs: Mapping[str, str]) -> dict[str, Any]:
    """One block: its names in the order of their places, packed members in packed order."""
    every = {name for shapes in names.shapes.values() for shape in shapes for name in shape}
    known = sorted(every | names.order.keys(), key=lambda n: (*names.order.get(n, (n, 0)), n))
    base = start.removesuffix(".")
    at = _common_place(base, names) if base else ""
    rows: list[list[Any]] = []
    also: list[list[Any]] = []
    instead: dict[str, list[list[Any]]] = {}
    for name in known:
        places = Places.of(names.outcomes.get(name, {}))
        proof = proofs.get(f"{start}{name}".removesuffix(".weight"), "")
        rows.append([name, *(_row(places.first, at, proof) if places.first else ())])
        also += [[name, *_row(outcome, at, "")] for outcome in places.also]
        for condition, outcome in places.instead.items():
            instead.setdefault(condition, []).append([name, *_row(outcome, at, proof)])
    bits = {name: 1 << number for number, name in enumerate(known)}
    differ = {_key(condition) for condition in _differing(names)}
    shapes = {
        condition: sorted(format(sum(bits[n] for n in shape), "x") for shape in found)
        for condition, found in sorted(names.shapes.items())
        if condition == ALWAYS or _key(condition) in differ
    }
    moves = set(map(_key, instead))
    for condition in filter(lambda condition: _key(condition) in moves, names.shapes):
        instead.setdefault(condition, [])  # tried, and nothing moved
    out: dict[str, Any] = {"names": rows, "shapes": shapes}
    if at != base:
        out["at"] = at
    if also:
        out["also"] = also
    if instead:
        out["instead"] = dict(sorted(instead.items()))
    if names.numbers and sorted(names.numbers) != list(range(len(names.numbers))):
        out["numbers"] = sorted(names.numbers)
    return out


def _common_place(base: str, names: _Names) -> str:
    """The place of the block: the longest start, up to a number, of the places of its matrices."""
    starts: dict[str, int] = {}
    for found in names.outcomes.values():
        for place, _, _ in {outcome for outcomes in found.values() for outcome in outcomes}:
            head, mark, _ = place.partition(".#")
            if mark:
                starts[f"{head}.#"] = starts.get(f"{head}.#", 0) + 1
    return max(starts, key=lambda s: (starts[s], s == base, s), default=base)


def _row(outcome: Outcome, at: str, proof: str) -> list[Any]:
    """Place and looked-up name; `~` means the block's place, `=` the place."""
    place, asked, kind = outcome
    looked_up = "=" if asked == place else asked if asked is None else _short(asked, at)
    out: list[Any] = [_short(place, at), looked_up, kind]
    return [*out, proof] if proof else out


def _short(name: str, at: str) -> str:
    return f"~{name.removeprefix(at)}" if at and name.startswith(f"{at}.") else name


def _proofs(passes: Sequence[Result]) -> dict[str, str]:
    """Stored module, masked -> how it was seen to load quantized."""
    out: dict[str, str] = {}
    for run in passes:
        for module in run.get("proved", ()) if not run["error"] else ():
            seen, proof = out.get(module, ""), _PROOFS[run["quant_algo"]]
            out[module] = seen if proof in seen else seen + proof
    return out


def _differing(names: _Names) -> Iterator[str]:
    """Conditions under which a block may hold other names than by the first config."""
    first = names.shapes.get(ALWAYS, {})
    for condition, found in names.shapes.items():
        if condition != ALWAYS and found.keys() != first.keys():
            yield condition


def _key(condition: str) -> str:
    return condition.partition("=")[0]


def _values(values: Mapping[str, Any], blocks: Mapping[str, _Names]) -> dict[str, Any]:
    """What the first config had for the keys that conditions name."""
    keys: set[str] = set()
    for names in blocks.values():
        every = (found for found in names.outcomes.values() if len(found) > 1)
        keys.update(map(_key, (*_differing(names), *(c for found in every for c in found if c))))
    return {key: value for key, value in sorted(values.items()) if key in keys}


def _dropped(passes: Sequence[Result]) -> dict[str, list[str]]:
    """quant_algo -> places that get no config of that name, though they get others."""
    out: dict[str, list[str]] = {}
    for run in passes:
        if run.get("dropped"):
            out[run["quant_algo"]] = sorted({*out.get(run["quant_algo"], ()), *run["dropped"]})
    return out
