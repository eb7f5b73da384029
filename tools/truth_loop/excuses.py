"""What a recorder calls a failure and this project does not, each with its reason.

A scale of the KV cache that SGLang leaves out, where no metadata announce a quantized cache: the
cache then has the dtype of the model (sglang 0.5.23, sglang/srt/mem_cache/kv_cache_dtype.py), needs
no scales, and every weight is right. The recorders count the scale as a lost tensor;
`../shared/oracle/published` counts it as benign, and published Qwen3 FP8 releases are served so.

Draft layers under `mtp.`, which a class leaves to its draft (vllm 0.33.0, nemotron_h.py: its mapper
drops them). The recorders count them as lost, where the untouched checkpoint has none.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from truth_loop.case import Case

_UNUSED: Final = re.compile(r"unused: (\d+), (.+)")
_KV_SCALE: Final = re.compile(r"\.[kv]_scale$")
_DRAFT: Final = "mtp."
_KEYS: Final = ("kv_cache_quant_algo", "kv_cache_scheme")


def is_excused(case: Case, release: str, why: Sequence[str], stored: Collection[str]) -> bool:
    """True where all that was lost are draft layers, or scales of a cache that nothing announces.

    Args:
        case: the checkpoint.
        release: what loaded it.
        why: reasons of the recorder.
        stored: names of all tensors of the checkpoint.
    """
    found = _UNUSED.fullmatch(why[0]) if len(why) == 1 else None
    if found is None:
        return False
    drafts = [name for name in stored if name.startswith(_DRAFT)]
    if found[2] in drafts and int(found[1]) == len(drafts):
        return True
    if not release.startswith("sglang") or announces_cache(case):
        return False
    scales = {name for name in stored if _KV_SCALE.search(name)}
    return found[2] in scales and int(found[1]) == len(scales)


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


def announces_cache(case: Case) -> bool:
    """True where a file that SGLang reads has a name or an object for the KV cache.

    It reads hf_quant_config.json only without `quantization_config` in config.json, and passes over
    numbers. With FP8 in config.json, an object for the cache decides, and is passed over unless it
    says 8-bit floats (sglang 0.5.23, sglang/srt/layers/quantization/modelopt_quant.py
    `from_config`).
    """
    config, hf_quant = _object(case.config), _object(case.hf_quant)
    own = config.get("quantization_config")
    scheme = own.get("kv_cache_scheme") if isinstance(own, dict) else None
    if isinstance(own, dict) and own.get("quant_algo") == "FP8" and isinstance(scheme, dict):
        return (scheme.get("type"), scheme.get("num_bits")) == ("float", 8)
    sections = [own] if isinstance(own, dict) else [hf_quant, hf_quant.get("quantization")]
    return any(
        isinstance(section.get(key), str | dict)
        for section in sections
        if isinstance(section, dict)
        for key in _KEYS
    )
