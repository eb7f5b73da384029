"""A target compared with its drafter, from config.json and headers alone.

How they go together: vLLM 0.33.0, vllm/model_executor/models/llama_eagle3.py and qwen3_dflash.py
(`fc` takes the hidden states of the tapped layers), vllm/v1/worker/gpu/spec_decode/eagle/
eagle3_utils.py (which layers), vllm/config/speculative.py
(`verify_equal_vocab_size_if_draft_model`), vllm/model_executor/models/utils.py
`get_draft_quant_config` (the drafter's own metadata).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ckptfix.checkpoint.dialects.statements import MetadataFile
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.checkpoint.tensor_table import TensorTable

Kind = Literal["EAGLE-3", "DFlash", "MTP", "draft model"]
_TAPS_BY_DEFAULT: Final = 3
"""Layers that EAGLE-3 reads if config.json names none (llama_eagle3.py)."""


@dataclass(frozen=True)
class Drafter:
    """A drafter, quantized or not."""

    name: str
    config: ModelConfig
    metadata: tuple[MetadataFile, ...]
    table: TensorTable

    @property
    def formats(self) -> Mapping[str, StoredFormat]:
        """Checkpoint name -> stored format."""
        return self.table.formats


@dataclass(frozen=True)
class PairCheck:
    """One thing that a target and its drafter must agree on."""

    what: str
    needed: str
    """What the target, or the drafter's own metadata, requires."""
    found: str
    """What the drafter has."""
    agrees: bool | None
    """None if one of them does not declare it."""
    why: str = ""
    """What happens if they differ; empty if they agree."""


@dataclass(frozen=True)
class DraftPair:
    """A drafter and its target."""

    drafter: str
    kind: Kind
    checks: tuple[PairCheck, ...]

    @property
    def fits(self) -> bool:
        """True when nothing disagrees."""
        return all(check.agrees is not False for check in self.checks)


def pair_up(target: ModelConfig, drafter: Drafter) -> DraftPair:
    """What must agree for the target to be served with the drafter."""
    kind = _kind(drafter)
    checks = [_vocabulary(target, drafter, kind), *_hidden(target, drafter, kind)]
    checks += _taps(target, drafter, kind)
    checks.append(_quantization(drafter))
    return DraftPair(drafter.name, kind, tuple(checks))


def _kind(drafter: Drafter) -> Kind:
    names = " ".join((*drafter.config.architectures, _text(drafter.config, "model_type"))).lower()
    values = drafter.config.values
    if "dflash" in names or "dflash_config" in values:
        return "DFlash"
    if "eagle3" in names or "eagle_config" in values or "d2t" in drafter.table.tensors:
        return "EAGLE-3"
    return "MTP" if "mtp" in names or "nextn" in names else "draft model"


def _text(config: ModelConfig, key: str) -> str:
    value = config.values.get(key)
    return value if isinstance(value, str) else ""


def _vocabulary(target: ModelConfig, drafter: Drafter, kind: Kind) -> PairCheck:
    mine, its = target.number("vocab_size"), drafter.config.number("vocab_size")
    small = drafter.config.number("draft_vocab_size")
    shown = f"{_shown(its)}, predicts {small:,}" if small and small != its else _shown(its)
    agrees = None if mine is None or its is None else mine == its
    why = "" if agrees is not False else "the two use different token ids"
    if agrees and small and its and small < its and kind in ("EAGLE-3", "DFlash"):
        d2t = drafter.table.tensors.get("d2t")
        if d2t is None or d2t.shape != (small,):
            agrees, why = False, f"d2t must name the token of each of the {small:,} predictions"
    return PairCheck("vocabulary", _shown(mine), shown, agrees, why)


def _hidden(target: ModelConfig, drafter: Drafter, kind: Kind) -> Iterator[PairCheck]:
    if kind == "draft model":
        return
    mine = target.number("hidden_size")
    its = drafter.config.number("target_hidden_size", "hidden_size")
    agrees = None if mine is None or its is None else mine == its
    why = "" if agrees is not False else "the drafter reads the target's hidden states"
    yield PairCheck("hidden size", _shown(mine), _shown(its), agrees, why)
    columns = _fc_columns(drafter)
    if kind == "MTP" or columns is None or mine is None:
        return
    taps = len(_tapped(drafter, kind)) or _number_of_taps(drafter)
    agrees = columns == taps * mine
    why = "" if agrees else f"fc takes the hidden states of {taps} layers"
    yield PairCheck("input of fc", f"{taps} x {mine:,}", f"{columns:,}", agrees, why)


def _fc_columns(drafter: Drafter) -> int | None:
    for name in ("fc", "model.fc"):
        stored = drafter.formats.get(name)
        if stored is not None and len(stored.logical_shape) == 2:
            return stored.logical_shape[-1]
    return None


def _number_of_taps(drafter: Drafter) -> int:
    return drafter.config.number("num_aux_hidden_states") or _TAPS_BY_DEFAULT


def _tapped(drafter: Drafter, kind: Kind) -> list[int]:
    """The layers that config.json names."""
    values = drafter.config.values
    key = "target_layer_ids" if kind == "DFlash" else "eagle_aux_hidden_state_layer_ids"
    places: Iterable[Any] = (values, values.get("eagle_config"), values.get("dflash_config"))
    for place in places:
        found = place.get(key) if isinstance(place, Mapping) else None
        if isinstance(found, list) and found and all(type(n) is int for n in found):
            return found
    return []


def _taps(target: ModelConfig, drafter: Drafter, kind: Kind) -> Iterator[PairCheck]:
    if kind not in ("EAGLE-3", "DFlash"):
        return
    layers, tapped = target.num_hidden_layers, _tapped(drafter, kind)
    shown = ", ".join(map(str, tapped)) if tapped else "not named: the release chooses them"
    there = f"{layers:,} layers" if layers is not None else "not stated"
    agrees = None
    if tapped and layers is not None:
        agrees = all(0 <= n < layers for n in tapped)
    why = "" if agrees is not False else f"the target has the layers 0 to {(layers or 1) - 1}"
    yield PairCheck("tapped layers", there, shown, agrees, why)


def _quantization(drafter: Drafter) -> PairCheck:
    """A drafter is built with its own metadata, or unquantized if it has none."""
    counts = Counter(f.label() for f in drafter.formats.values() if f.is_quantized)
    stored = ", ".join(f"{label} ({number:,})" for label, number in counts.most_common())
    declared = ", ".join(dict.fromkeys(m.quant_algo or "of each module" for m in drafter.metadata))
    agrees = bool(counts) == bool(drafter.metadata)
    why = ""
    if counts and not drafter.metadata:
        why = "without its own metadata it is built unquantized"
    elif drafter.metadata and not counts:
        why = "its metadata declares it quantized, but its tensors are not"
    return PairCheck(
        "quantization",
        f"built as {declared or 'unquantized'}",
        stored or "unquantized",
        agrees,
        why,
    )


def _shown(number: int | None) -> str:
    return "not stated" if number is None else f"{number:,}"
