"""Verdicts of the oracle's recorders, compared with what the untouched fixture does."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

STUBS: Final = (
    "Torch not compiled with CUDA", "_Mock", "No module named", "image processor", "Please install",
    "No MXFP4 MoE backend",
)  # fmt: skip
"""Parts of errors that are the oracle's own."""
KERNELS: Final = (frozenset({"AutoAWQLinearMethod", "AutoAWQMarlinLinearMethod"}),)
"""Classes that read the same tensors in the same way, for different kernels (vllm 0.33.0,
vllm/model_executor/layers/quantization/auto_awq.py)."""


@dataclass(frozen=True)
class Judged:
    """What a runtime did with a case."""

    loads: bool | None
    """None: the fixture fails in the same way, so nothing can be distinguished."""
    why: tuple[str, ...]

    @property
    def is_of_stubs(self) -> bool:
        """The oracle's own stubs stopped the runtime."""
        return any(stub in why for why in self.why for stub in STUBS)


def stricter(judged: Judged, before: Mapping[str, Any], after: Mapping[str, Any]) -> Judged:
    """A verdict of the recorders, and no where less is written than with the untouched fixture.

    It is open where the oracle's own stubs stopped the runtime, and parameters that the untouched
    fixture leaves out too, as scales of a KV cache, are not missed.

    They leave aside what is written in part or never where a whole checkpoint may do so too: expert
    banks that SGLang pads, input scales that a weight-only format does not store. And a tensor that
    is copied into several places of its parameter fills it, but not as it should.

    Args:
        judged: what the recorder says.
        before: what the runtime did with the untouched fixture.
        after: what it did with the case.
    """
    if judged.is_of_stubs:
        return Judged(None, judged.why)
    if judged.loads is False and (
        _misses_nothing(judged.why, before, after)
        or _only_kernels_differ(judged.why, before, after)
        or _casts_as_before(judged.why, before, after)
    ):
        # Where the untouched fixture lacks weights, it does not load either: only a case that gets
        # every tensor, and leaves no weight out, is known to be better.
        lacking = any(WEIGHT.search(name) for name in before["never"])
        whole = not after["unused"] and not any(WEIGHT.search(name) for name in after["never"])
        judged = Judged(True if whole or not lacking else None, ())
    if not judged.loads or "never" not in before:
        return judged
    never = [name for name in after["never"] if name not in before["never"] and not _of_cache(name)]
    less = [
        name
        for name, (written, whole) in after["partial"].items()
        if written < before["partial"].get(name, (whole, whole))[0]
    ]
    spread = [name for name in after["bcast"] if name not in before["bcast"]]
    why = [f"never: {len(never)}, {never[0]}"] if never else []
    why += [f"broadcast: {len(spread)}, {spread[0]}"] if spread else []
    why += [f"partly written: {len(less)}, {less[0]}"] if less else []
    cast = [each for each in _cast_codes(after) if each not in _cast_codes(before)]
    why += [f"codes cast: {len(cast)}, {cast[0]}"] if cast else []
    return Judged(False, tuple(why)) if why else judged


def _misses_nothing(
    why: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether all that a recorder complains about is so with the untouched fixture too.

    The order of GPTQ (g_idx) is not missed either: a release that has no parameter for it does not
    need it. Nor are scales of a KV cache, which the recorders leave aside, and placeholders.
    """
    if "never" not in before or "never" not in after:
        return False
    never = {name for name in after["never"] if not _of_cache(name)} - set(before["never"])
    unused = {name for name in after["unused"] if not name.endswith(".g_idx")}
    complaints = {reason.partition(":")[0] for reason in why}
    return not never and unused <= set(before["unused"]) and complaints <= {"never", "unused"}


def _only_kernels_differ(
    why: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether all that a recorder complains about is another class for the same tensors."""
    if {reason.partition(":")[0] for reason in why} != {"other quant method"}:
        return False
    pairs = [
        {before["mods"][name][0], built[0]}
        for name, built in after["mods"].items()
        if name in before["mods"] and before["mods"][name] != built
    ]
    return all(any(pair <= same for same in KERNELS) for pair in pairs)


def _casts_as_before(
    why: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether all that a recorder complains about is a cast of a tensor that was renamed.

    As many casts between the same dtypes are then gone: A_log of NemotronH is BF16 in checkpoints
    and F32 in both runtimes, under every name. Casts of codes are never the same; F32 keeps scales.
    """
    if {reason.partition(":")[0] for reason in why} != {"cast"}:
        return False
    old, new = ({tuple(each) for each in raw["cast"]} for raw in (before, after))
    new = {each for each in new if not (_SCALE.search(each[0]) and each[2] == "float32")}
    gone, come = (Counter(each[1:] for each in casts) for casts in (old - new, new - old))
    return come <= gone and not any(stored.startswith(_CODES) for stored, _ in come)


def _cast_codes(raw: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """(tensor, dtype, dtype of its parameter) of codes that a copy makes other numbers of.

    sglang 0.5.23 fills an FP8 weight, which is E4M3, with INT8 and E5M2 codes, and says nothing.
    """
    casts = (tuple(each) for each in raw.get("cast", ()))
    return [
        each
        for each in casts
        if each[2] != "float32"
        and (
            each[1] in ("int8", "float8_e5m2")
            or (_SCALE.search(each[0]) and each[2].startswith(_CODES))
        )
    ]


_CODES: Final = ("int8", "uint8", "float8")
WEIGHT: Final = re.compile(r"weight(_scale_inv)?$")
_SCALE: Final = re.compile(r"_scale(_2)?$|\.e_score_correction_bias$")
_KV: Final = re.compile(r"\.(k|v|q|prob)_scale$")
_PLACEHOLDER: Final = re.compile(r"\.attn\.[kvq]_zero_point$")
"""vLLM 0.33.0 makes them for every attention layer of a compressed-tensors checkpoint, and deletes
them after loading without a look (vllm/model_executor/layers/quantization/compressed_tensors/
compressed_tensors.py, `CompressedTensorsKVCacheMethod`)."""


def _of_cache(name: str) -> bool:
    """True for a parameter of a KV cache that need not be stored."""
    return bool(_KV.search(name) or _PLACEHOLDER.search(name))
