"""An answer by module: where each is built, which tensors end there, and what happens to them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.roles import KV_ROLES, WEIGHTS
from ckptfix.runtimes.installed.answer import Answer, BuiltModule
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.text import visible

_OPTIONAL: Final = re.compile(
    r"(?:\A|\.)(?:[kvq]_scale|prob_scale|ls1|ls2|pre_quant_scale|w\d+_blockscale_swizzled)\Z"
)
"""Parameters that no checkpoint has to fill: scales of the KV cache are 1, like those of a RADIO
tower."""
_INPUT_SCALE: Final = re.compile(r"input_scale\Z")
_NOT_NEEDED: Final = re.compile(
    r"(?:\A|\.)input_conditioner\.norm_(?:mean|std)\Z|\Amtp\.|(?:\A|\.)rotary_emb\.inv_freq\Z"
    r"|(?:\A|\.)position_ids\Z"
)
"""Tensors that a runtime may skip: values that it computes itself, and drafts."""
_WITHOUT_SCALES: Final = "quantizes the KV cache with scales of 1.0, and leaves out"
_LAYER: Final = re.compile(r"(?:\A|\.)layers\.(\d+)\.")
_CODES: Final = frozenset({"uint8", "int8", "int32", "float8_e4m3fn", "float8_e5m2"})
_ALL: Final = "*"


class Fault(Struct, frozen=True):
    """What happened to one tensor or parameter."""

    what: str
    """Before its name: `leaves out`."""
    name: str
    """Empty if there is none, and `detail` is what stops the runtime."""
    effect: Effect
    detail: str = ""
    """After its name; may be empty."""
    tensor: str = ""
    """The stored module or tensor concerned; empty for a parameter."""


def reasons_of(faults: Iterable[Fault]) -> tuple[Reason, ...]:
    """One reason per kind of fault: the first one, and how many more there are."""
    group: dict[tuple[str, Effect], list[Fault]] = {}
    for fault in faults:
        group.setdefault((fault.what, fault.effect), []).append(fault)
    return tuple(map(_reason_of, group.values()))


def _reason_of(group: Sequence[Fault]) -> Reason:
    first = group[0]
    if not first.name:
        return Reason.stop(visible(first.detail))
    more = f" (and {len(group) - 1:,} more)" if len(group) > 1 else ""
    detail = f": {visible(first.detail)}" if first.detail else ""
    named = visible(first.name)
    return Reason(f"{first.what} {named}{more}{detail}", first.effect, tensor=first.tensor)


class Reading(Struct, frozen=True, dict=True):
    """One checkpoint, and what a runtime answered about it."""

    checkpoint: Checkpoint
    answer: Answer

    @cached_property
    def owner(self) -> Mapping[str, str]:
        """Tensor -> module of the checkpoint."""
        modules = self.checkpoint.modules.items()
        return {tensor: name for name, m in modules for tensor in m.tensor_names.values()}

    @cached_property
    def rows(self) -> Mapping[str, BuiltModule]:
        """Place -> the module that is built there."""
        return {row.place: row for row in self.answer.modules}

    @cached_property
    def places(self) -> Mapping[str, str]:
        """Module of the checkpoint -> place of what its weight, or its first tensor, ends in."""
        out: dict[str, str] = {}
        for name, module in self.checkpoint.modules.items():
            in_order = sorted(module.tensor_names.items(), key=lambda item: item[0] not in WEIGHTS)
            found = next(filter(None, map(self._reached, (t for _, t in in_order))), None)
            if found:
                out[name] = self.place_of(found)
        return out

    def _reached(self, tensor: str) -> str | None:
        reached = self.answer.lands.get(tensor)
        return reached[0] if reached else self.answer.meant_for.get(tensor)

    @cached_property
    def members(self) -> Mapping[str, tuple[str, ...]]:
        """Place -> the modules of the checkpoint that end there, in the order of their tensors."""
        out: dict[str, list[str]] = {}
        for name, place in self.places.items():
            out.setdefault(place, []).append(name)
        return {place: tuple(names) for place, names in out.items()}

    def place_of(self, parameter: str) -> str:
        """The module that a parameter belongs to: the nearest one that is listed."""
        place = own = parameter.rpartition(".")[0]
        while place and place not in self.rows:
            place = place.rpartition(".")[0]
        return place or own

    @cached_property
    def faults(self) -> Mapping[str, tuple[Fault, ...]]:
        """Place -> what happened to its tensors; without a place, under ""."""
        out: dict[str, list[Fault]] = {}
        for place, fault in self._faults():
            at = place if place in self.members else ""
            out.setdefault(at, []).append(fault)
        return {place: tuple(faults) for place, faults in out.items()}

    def _faults(self) -> Iterator[tuple[str, Fault]]:
        yield from self._stopping()
        yield from self._of_tensors()
        if not self.answer.errors:  # after an error, unfilled parameters were merely not reached
            yield from self._of_parameters()

    def _stopping(self) -> Iterator[tuple[str, Fault]]:
        errors = self.answer.errors
        for tensor, text in errors.items():
            if tensor != _ALL:
                yield self._of(tensor, "stops at", Effect.STOPS, detail=text)
        if set(errors) == {_ALL}:
            yield "", Fault("stops", "", Effect.STOPS, detail=errors[_ALL])

    def _of_tensors(self) -> Iterator[tuple[str, Fault]]:
        answer, wrong = self.answer, Effect.WRONG_WEIGHTS
        for tensor in answer.unused:
            if self._is_not_needed(tensor):
                continue
            if _is_of_cache(tensor):
                yield "", Fault(_WITHOUT_SCALES, tensor, wrong, tensor=self.owner.get(tensor, ""))
            else:
                yield self._of(tensor, "leaves out", wrong)
        for tensor, _, stored, built in answer.casts:
            if not _CODES.isdisjoint((stored, built)) and "scale" not in tensor.rpartition(".")[2]:
                yield self._of(tensor, f"casts {stored} to {built}:", wrong)
        for tensor in answer.cut:
            if self._row(tensor) is not None:
                yield self._of(tensor, "copies only a part of", wrong)

    def _of_parameters(self) -> Iterator[tuple[str, Fault]]:
        answer, wrong = self.answer, Effect.WRONG_WEIGHTS
        for parameter in answer.never_written:
            place = self.place_of(parameter)
            if not self._is_optional(parameter, place):
                yield place, Fault("leaves uninitialised", parameter, wrong)
        for parameter, (written, every) in answer.partial.items():
            place = self.place_of(parameter)
            row = self.rows.get(place)
            if row is not None and row.kind in ("linear", "experts"):
                _, shape = row.parameters.get(parameter.rpartition(".")[2], ("", ()))
                what = "experts of" if len(shape) == 3 else "elements of"
                yield place, Fault(f"fills {written:,} of {every:,} {what}", parameter, wrong)

    def _of(self, tensor: str, what: str, effect: Effect, *, detail: str = "") -> tuple[str, Fault]:
        module = self.owner.get(tensor, "")
        return self.places.get(module, ""), Fault(what, tensor, effect, detail, module or tensor)

    def _row(self, tensor: str) -> BuiltModule | None:
        row = self.rows.get(self.places.get(self.owner.get(tensor, ""), ""))
        return row if row is not None and row.kind in ("linear", "experts") else None

    def _is_not_needed(self, tensor: str) -> bool:
        if _NOT_NEEDED.search(tensor):
            return True
        if _is_of_cache(tensor) and not self.answer.needs_cache_scales:
            return True
        config = self.checkpoint.config
        if config.tied_embeddings and "lm_head" in tensor:
            return True
        layer, number = _LAYER.search(tensor), config.num_hidden_layers
        return bool(layer and number is not None and int(layer[1]) >= number)

    def _is_optional(self, parameter: str, place: str) -> bool:
        """True for a scale that is 1 without a tensor, or of inputs that are not quantized."""
        if _OPTIONAL.search(parameter):
            return True
        if not _INPUT_SCALE.search(parameter):
            return False
        modules = [self.checkpoint.modules[name] for name in self.members.get(place, ())]
        quantized = [m for m in modules if "weight_scale_2" in m.tensors]
        return bool(quantized) and not any("input_scale" in m.tensors for m in quantized)


def _is_of_cache(tensor: str) -> bool:
    return tensor.rpartition(".")[2] in KV_ROLES
