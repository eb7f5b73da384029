"""What vLLM reads from the metadata.

Sources: vLLM 0.33.0, vllm/transformers_utils/config.py (`get_config`),
vllm/transformers_utils/model_arch_config_convertor.py (`_normalize_quantization_config`),
vllm/config/model.py (`_verify_quantization`), vllm/model_executor/model_loader/weight_utils.py
(`get_quant_config`), vllm/model_executor/layers/quantization/modelopt.py (`from_config`).
"""

from collections.abc import Mapping
from typing import Final

from ckptfix.checkpoint.dialects.statements import (
    COMPRESSION,
    CONFIG_FILE,
    CONFIG_ROOT,
    MIXED,
    PARAMS_FILE,
    Statement,
    find_at,
    is_weight_only,
)
from ckptfix.runtimes.common.effective import DEFAULT_GROUP_SIZE, EffectiveMetadata
from ckptfix.runtimes.common.foreign import not_supported, only_online, require_modelopt
from ckptfix.runtimes.common.layer_maps import (
    ENTRIES,
    HF_QUANT_FILE,
    NESTED,
    Files,
    first_group_size,
    mixed_entries,
)
from ckptfix.runtimes.common.mistral import quantization_in
from ckptfix.runtimes.common.objects import JsonObject, StopsError, json_object, kind_of
from ckptfix.runtimes.vllm.deepseek_v4 import read_deepseek_v4
from ckptfix.runtimes.vllm.releases import QUANT_METHODS, VllmReading

_TEXT_CONFIGS: Final = {
    "deepseek_vl_v2": "language_config",
    "NemotronH_Nano_VL_V2": "llm_config",
    "ovis": "llm_config",
}
"""model_type -> key of what its config class calls `text_config`; others have it under that key
(vllm 0.33.0 vllm/transformers_utils/configs/{deepseek_vl2,ovis}.py, and what
vllm/model_executor/models/nano_nemotron_vl.py reads of the class in the checkpoint)."""
_FP8: Final = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO")
_MXFP8: Final = "mxfp8"
_OWNED: Final = {
    "modelopt": frozenset(_FP8),
    "modelopt_fp4": frozenset({"NVFP4", "W4A16_NVFP4"}),
    "modelopt_mxfp8": frozenset({"MXFP8"}),
    "modelopt_mixed": frozenset({"MIXED_PRECISION"}),
}
"""quant_method -> values of quant_algo that its config class accepts."""
_REQUIRED: Final = {
    "modelopt_fp4": ("group_size", "kv_cache_quant_algo", "exclude_modules"),
    "modelopt_mxfp8": ("kv_cache_quant_algo", "exclude_modules"),
}
"""quant_method -> fields that ModelOpt's wrapped object must have."""


def read_vllm(files: Files, reading: VllmReading) -> EffectiveMetadata | None:
    """The metadata as a vLLM release stores it; None where it finds none.

    Args:
        files: the metadata files.
        reading: how the release reads them.

    Raises:
        StopsError: the release stops.
    """
    found = _found(files, reading)
    if found is None:
        return None
    method = _method(found, reading)
    if not method:
        why = f"{found.place()} has no quant_method, so this runtime ignores the metadata"
        return EffectiveMetadata(found.file, found.path, "", ignored=why)
    config = files.documents[CONFIG_FILE].value if CONFIG_FILE in files.documents else {}
    if (hybrid := read_deepseek_v4(found, config, reading)) is not None:
        return hybrid
    if method == _MXFP8:
        return _mxfp8(files, found, reading)
    require_modelopt(found, method, own=reading.own, known=QUANT_METHODS - reading.gone)
    if method == "modelopt_mixed" and ENTRIES not in found:
        declaring, found = found, _file(files)
        _require_map(found, declaring)
    return _from_config(files, found, method, reading)


def _mxfp8(files: Files, found: JsonObject, reading: VllmReading) -> EffectiveMetadata:
    """MXFP8 as MiniMax declares it, which ModelOpt's class reads (vllm 0.24.0 and later).

    Raises:
        StopsError: the release takes no checkpoint with this method.
    """
    if reading.mxfp8 != "checkpoint":
        raise (only_online if reading.mxfp8 else not_supported)(found, _MXFP8)
    if found.get("quant_algo") or NESTED in found:
        return _from_config(files, found, "modelopt_mxfp8", reading)
    listed = "ignored_layers"
    if found.get(listed) and not isinstance(found.get(listed), list):
        raise found.stop(f" is {kind_of(found.get(listed))}, not a list", listed)
    kv_cache = bool(found.get("kv_cache_quant_algo"))
    excludes = files.excludes(found, listed)
    return EffectiveMetadata(
        found.file, found.path, "MXFP8", (), excludes, DEFAULT_GROUP_SIZE, kv_cache
    )


def _found(files: Files, reading: VllmReading) -> JsonObject | None:
    """The object that decides: hf_quant_config.json only if config.json has no top-level one."""
    params = files.documents.get(PARAMS_FILE)
    if params is not None and reading.own_format is not None:
        own = quantization_in(params, reading.own_format)
        if own is not None:
            return own
    config = files.documents[CONFIG_FILE].value if CONFIG_FILE in files.documents else {}
    if config.get(CONFIG_ROOT[0]) is not None:
        return json_object(CONFIG_FILE, CONFIG_ROOT, config[CONFIG_ROOT[0]])
    if HF_QUANT_FILE in files.documents:
        return JsonObject(HF_QUANT_FILE, (), files.documents[HF_QUANT_FILE].value)
    text = _TEXT_CONFIGS.get(str(config.get("model_type")), "text_config")
    for path in ((text, *CONFIG_ROOT), COMPRESSION):
        if (value := find_at(config, path)) is not None:
            return files.known(json_object(CONFIG_FILE, path, value))
    return None


def _method(found: JsonObject, reading: VllmReading) -> str:
    """The quant_method after vLLM has corrected it; empty for none."""
    method = (
        found.string("quant_method").lower().replace("compressed_tensors", "compressed-tensors")
    )
    wrapped = _wrapped_method(found, reading) if found.path != COMPRESSION else ""
    method = wrapped or method
    is_modelopt = method.startswith("modelopt") if reading.own_names_override else False
    if not (is_modelopt or method == "modelopt"):
        return method
    source = found.get(NESTED) if NESTED in found else found.value
    algo = str(source.get("quant_algo", "")).upper() if isinstance(source, Mapping) else ""
    if "FP4" in algo:
        named = "modelopt_fp4"
    elif "MXFP8" in algo:
        named = "modelopt_mxfp8"
    else:
        named = {"FP8": "modelopt", "MIXED_PRECISION": "modelopt_mixed"}.get(algo, method)
    return named if named in reading.own else method


def _wrapped_method(found: JsonObject, reading: VllmReading) -> str:
    """The quant_method that vLLM itself writes into ModelOpt's wrapped object."""
    if found.child("producer").get("name") != "modelopt":
        return ""
    algo = found.child(NESTED).get("quant_algo")
    if algo is None:
        return ""
    upper = str(algo).upper()
    if upper == "NVFP4":
        return "modelopt_fp4"
    if upper not in reading.wrapped_algos:
        raise found.stop(f": {upper} is not a supported quant_algo there", NESTED)
    return "modelopt_mixed" if upper == "MIXED_PRECISION" else "modelopt"


def _file(files: Files) -> JsonObject:
    """hf_quant_config.json, if the map of a mixed checkpoint is not in config.json."""
    if HF_QUANT_FILE not in files.documents:
        cause = f"{ENTRIES} is not in config.json, and there is no {HF_QUANT_FILE}"
        raise StopsError(cause, (CONFIG_FILE, CONFIG_ROOT))
    found = JsonObject(HF_QUANT_FILE, (), files.documents[HF_QUANT_FILE].value)
    if found.child("producer").get("name") != "modelopt":
        raise found.stop(" is not modelopt", "producer", "name")
    return found


def _require_map(found: JsonObject, declaring: JsonObject) -> None:
    """Stop where MIXED_PRECISION is declared if the file that has another algorithm has no map.

    Raises:
        StopsError: the file in which the map is looked for is not one of a mixed checkpoint.
    """
    fields = found.child(NESTED) if NESTED in found else found
    algo = str(fields.get("quant_algo") or "").upper()
    if algo not in ("", MIXED) and not fields.get(ENTRIES):
        section = declaring.child(NESTED) if NESTED in declaring else declaring
        cause = f"{MIXED} without {ENTRIES}, which {found.file} does not have either"
        raise StopsError(cause, section.at("quant_algo"))


def _from_config(
    files: Files, found: JsonObject, method: str, reading: VllmReading
) -> EffectiveMetadata:
    """`from_config` of the config class."""
    wrapped = NESTED in found
    fields = found.child(NESTED) if wrapped else found
    algo = fields.get("quant_algo")
    if not algo:
        raise fields.stop(" has no quant_algo")
    algo = str(algo).upper()
    kv_cache = _kv_cache(fields, reading, wrapped=wrapped)
    listed = "exclude_modules" if wrapped or _takes_exclude_modules(fields, reading) else "ignore"
    if listed in fields and not isinstance(fields.get(listed), list):
        kind = kind_of(fields.get(listed))
        raise fields.stop(f" is {kind}, not a list", listed)
    group_size = _group_size(fields)
    if algo not in reading.uniform and algo != "MIXED_PRECISION":
        cause = f"{algo} for the whole checkpoint is not supported"
        raise StopsError(cause, fields.at("quant_algo"))
    if method != "modelopt_mixed" and algo not in _OWNED[method]:
        cause = f"quant_method {method} does not support quant_algo {algo}"
        raise StopsError(cause, fields.at("quant_algo"))
    lacking = [key for key in _REQUIRED.get(method, ()) if key not in fields] if wrapped else []
    if lacking:
        raise fields.stop(f" has no {' and no '.join(lacking)}")
    entries: tuple[Statement, ...] = ()
    declared = ""
    if method == "modelopt_mixed":
        entries = mixed_entries(files, fields, one_block_size=reading.one_block_size)
        algo = "MIXED_PRECISION"
        if group_size is None:
            group_size = first_group_size(fields, entries)
    elif (
        algo == "NVFP4"
        and reading.weight_only_by_activations
        and is_weight_only(found.get("config_groups"))
    ):
        algo, declared = "W4A16_NVFP4", "NVFP4 without input_activations"
    return EffectiveMetadata(
        fields.file,
        fields.path,
        algo,
        entries,
        files.excludes(fields, listed),
        DEFAULT_GROUP_SIZE if group_size is None else group_size,
        kv_cache,
        declared=declared,
    )


def _takes_exclude_modules(fields: JsonObject, reading: VllmReading) -> bool:
    return reading.flat_exclude_modules and "ignore" not in fields and "exclude_modules" in fields


def _kv_cache(fields: JsonObject, reading: VllmReading, *, wrapped: bool) -> bool:
    """True where the metadata declares a quantized KV cache in a way that vLLM reads."""
    if not wrapped:
        scheme = fields.get(reading.flat_kv_key)
        if reading.flat_kv_key == "kv_cache_quant_algo":
            return isinstance(scheme, str) and bool(scheme)
        known = isinstance(scheme, dict) and scheme.get("type") == "float"
        return known and scheme.get("num_bits") == 8
    algo = fields.get("kv_cache_quant_algo")
    if algo is None:
        return False
    key = "kv_cache_quant_algo"
    if not isinstance(algo, str):
        raise fields.stop(f" is {kind_of(algo)}, not a string", key)
    if reading.kv_algos is not None and algo.upper() not in reading.kv_algos:
        raise fields.stop(f": {algo} is not a supported KV cache format", key)
    return bool(algo)


def _group_size(fields: JsonObject) -> object:
    value = fields.get("group_size")
    return value if value is None or isinstance(value, int) else fields.number("group_size")
