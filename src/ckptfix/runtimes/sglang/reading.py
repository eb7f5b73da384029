"""What SGLang reads from the metadata.

Sources: SGLang 0.5.8 to 0.5.23, sglang/srt/utils/hf_transformers/config.py (`get_config`),
sglang/srt/configs/model_config.py (`_parse_quant_hf_config`, `_parse_modelopt_quant_config`,
`_verify_quantization`), sglang/srt/model_loader/weight_utils.py (`get_quant_config`),
sglang/srt/layers/quantization/modelopt_quant.py, arg_groups/model_overrides/nemotron_h.py.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ckptfix.checkpoint.dialects.statements import (
    COMPRESSION,
    CONFIG_FILE,
    CONFIG_ROOT,
    MIXED,
    PARAMS_FILE,
    Statement,
    find_at,
)
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.effective import DEFAULT_GROUP_SIZE, EffectiveMetadata
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
from ckptfix.runtimes.sglang.config_object import shown_text_config
from ckptfix.runtimes.sglang.correction import (
    SglangRelease,
    corrected,
    is_corrected,
    method_of,
    unwrapped,
)
from ckptfix.runtimes.sglang.deepseek_v4 import read_deepseek_v4
from ckptfix.runtimes.sglang.mistral import FORMAT
from ckptfix.runtimes.sglang.releases import SglangReading


def read_sglang(files: Files, release: SglangRelease) -> EffectiveMetadata | None:
    """The metadata as an SGLang release stores it; None where it finds none.

    Raises:
        StopsError: the release stops.
    """
    config = files.documents[CONFIG_FILE].value if CONFIG_FILE in files.documents else {}
    params = files.documents.get(PARAMS_FILE)
    named = shown = quantization_in(params, FORMAT) if params else _shown(files, config, release)
    if shown is not None and shown.path[-1:] != COMPRESSION:
        if is_corrected(shown, release) and (added := corrected(unwrapped(shown), release)):
            named = shown = replace(shown, value={**shown.value, **added})
    elif shown is None and HF_QUANT_FILE in files.documents:
        file = JsonObject(HF_QUANT_FILE, (), files.documents[HF_QUANT_FILE].value)
        if NESTED not in file and not release.reading.flat_file:
            raise file.stop(f" has no {NESTED}")
        named = replace(file, value=corrected(unwrapped(file), release) or {})
        if not named.value:
            why = f"{file.place()} has no supported quant_algo; this runtime ignores the metadata"
            return EffectiveMetadata(file.file, file.path, "", ignored=why)
    if named is None:
        return None
    if hybrid := read_deepseek_v4(named, release.architecture, release.reading):
        return hybrid
    method = method_of(named, release)
    if method == "modelopt_mixed" and shown is None and release.asks_config:
        cause = "it requires quantization_config in config.json, which is missing"
        raise StopsError(cause, (CONFIG_FILE, CONFIG_ROOT))
    found = shown or _unshown(files, config)
    if found is None or not _is_complete(found, method, release.reading):
        found = _file(files, method)
    return _renamed(_from_config(files, found, _class_of(found, method), release), release)


def _renamed(found: EffectiveMetadata, release: SglangRelease) -> EffectiveMetadata:
    """With the patterns of hf_quant_config.json as `remap_prefix` of the model class makes them."""
    rule = release.reading.renames_in_file.get(release.architecture)
    if rule is None or found.file != HF_QUANT_FILE:
        return found
    old, new = rule
    renamed = (
        replace(s, name=new + s.name.removeprefix(old)) if s.name.startswith(old) else s
        for s in found.excludes
    )
    return replace(found, excludes=tuple(renamed))


def _shown(files: Files, config: Mapping[str, Any], release: SglangRelease) -> JsonObject | None:
    """What the config object has under a key at its top: its own, else that of the language model.

    A null hides what the language model has.
    """
    text = shown_text_config(config, release)
    for key in (*CONFIG_ROOT, *COMPRESSION):
        at: Path | None = () if key in config else text
        if at is None:
            continue
        path = (*at, key)
        if (value := find_at(config, path)) is not None:
            return files.known(json_object(CONFIG_FILE, path, value))
    return None


def _unshown(files: Files, config: Mapping[str, Any]) -> JsonObject | None:
    """What gives the fields where hf_quant_config.json gave the method, if config.json has it."""
    path = ("text_config", *CONFIG_ROOT)
    value = find_at(config, path)
    return None if value is None else files.known(json_object(CONFIG_FILE, path, value))


def _is_complete(found: JsonObject, method: str, reading: SglangReading) -> bool:
    """False if SGLang continues with hf_quant_config.json."""
    if not reading.mixed_needs_kv:
        return True
    says_kv = "kv_cache_quant_algo" in found or "kv_cache_scheme" in found
    return method != "modelopt_mixed" or (ENTRIES in found and says_kv)


def _file(files: Files, method: str) -> JsonObject:
    if HF_QUANT_FILE not in files.documents:
        cause = f"{method} needs more fields, and there is no {HF_QUANT_FILE}"
        raise StopsError(cause, (CONFIG_FILE, CONFIG_ROOT))
    found = JsonObject(HF_QUANT_FILE, (), files.documents[HF_QUANT_FILE].value)
    found.child("producer").string("name")
    return found


def _class_of(found: JsonObject, method: str) -> str:
    """The config class: for hf_quant_config.json of ModelOpt, the one for its quant_algo."""
    if found.file != HF_QUANT_FILE or not found.child("producer").string("name").startswith(
        "modelopt"
    ):
        return method
    section = _section(found)
    algo = section.get("quant_algo")
    if algo is None:
        raise section.stop(" has no quant_algo")
    if algo == "FP8" or method == "modelopt_fp8":
        return "modelopt_fp8"
    return "modelopt_fp4" if "FP4" in str(algo) else method


def _section(found: JsonObject) -> JsonObject:
    wrapped = found.get(NESTED)
    if isinstance(wrapped, dict):
        return JsonObject(found.file, (*found.path, NESTED), wrapped)
    return found


def _from_config(
    files: Files, found: JsonObject, method: str, release: SglangRelease
) -> EffectiveMetadata:
    """`from_config` of the config class."""
    flat = found.get("quant_algo") is not None
    if not flat and NESTED not in found:
        raise found.stop(f" has neither quant_algo nor {NESTED}")
    fields = found if flat else found.child(NESTED)
    algo = fields.get("quant_algo")
    if algo is None:
        raise fields.stop(" has no quant_algo")
    match method:
        case "modelopt_mixed":
            return _mixed(files, fields, release, flat=flat)
        case "modelopt_fp4":
            return _nvfp4(files, fields, release, flat=flat)
        case "mxfp8":
            listed = "exclude_modules" if "exclude_modules" in fields else "ignore"
            return _made(files, fields, "MXFP8", listed, kv=_kv(fields, release.reading, flat=flat))
    if not isinstance(algo, str):
        raise fields.stop(f" is {kind_of(algo)}, not a string", "quant_algo")
    if algo not in release.reading.uniform or "NVFP4" in algo or algo == "MXFP8":
        cause = f"{algo} for the whole checkpoint is not supported"
        raise StopsError(cause, fields.at("quant_algo"))
    listed = "ignore" if flat else "exclude_modules"
    return _made(files, fields, algo, listed, kv=_kv(fields, release.reading, flat=flat))


def _made(
    files: Files,
    fields: JsonObject,
    algo: str,
    listed: str,
    *,
    kv: object,
    group_size: object = DEFAULT_GROUP_SIZE,
    entries: tuple[Statement, ...] = (),
) -> EffectiveMetadata:
    excludes = files.excludes(fields, listed)
    cache = isinstance(kv, str) and kv.upper() == "FP8"
    return EffectiveMetadata(fields.file, fields.path, algo, entries, excludes, group_size, cache)


def _kv(fields: JsonObject, reading: SglangReading, *, flat: bool, by_name: bool = False) -> object:
    """What the quantization config calls the KV cache; another name than FP8 does not quantize it.

    0.5.8 to 0.5.23: `configure_kv_cache_dtype`, now in mem_cache/kv_cache_dtype.py.
    """
    scheme = fields.get("kv_cache_scheme") if flat else None
    if isinstance(scheme, dict):
        is_fp8 = scheme.get("type") == "float" and scheme.get("num_bits") == 8
        return "FP8" if is_fp8 else None
    if by_name and isinstance(scheme, str):
        return "FP8" if scheme.strip().upper() in ("FP8", "FLOAT8") else None
    reads = not flat or by_name or reading.flat_kv_quant_algo
    return fields.get("kv_cache_quant_algo") if reads else None


def _mixed(
    files: Files, fields: JsonObject, release: SglangRelease, *, flat: bool
) -> EffectiveMetadata:
    if fields.get("quant_algo") != MIXED:
        algo = fields.get("quant_algo")
        cause = f"its class for {MIXED} does not support quant_algo {algo}"
        raise StopsError(cause, fields.at("quant_algo"))
    entries = mixed_entries(files, fields, one_block_size=release.reading.one_block_size)
    size = first_group_size(fields, entries)
    takes = flat and release.reading.mixed_exclude_modules and "ignore" not in fields
    listed = "ignore" if flat and not takes else "exclude_modules"
    return _made(
        files,
        fields,
        MIXED,
        listed,
        kv=_kv(fields, release.reading, flat=flat),
        group_size=DEFAULT_GROUP_SIZE if size is None else size,
        entries=entries,
    )


def _nvfp4(
    files: Files, fields: JsonObject, release: SglangRelease, *, flat: bool
) -> EffectiveMetadata:
    algo = fields.get("quant_algo")
    group_size = _flat_group(fields) if flat else _common_group(fields)
    if flat and group_size is None and release.reading.nvfp4_default_group and "NVFP4" in str(algo):
        group_size = DEFAULT_GROUP_SIZE
    if algo not in release.reading.uniform - {"MXFP8"}:
        cause = f"{algo} for the whole checkpoint is not supported"
        raise StopsError(cause, fields.at("quant_algo"))
    listed = "ignore" if flat else "exclude_modules"
    if flat and listed not in fields and release.reading.nvfp4_exclude_modules:
        keys = ("modules_to_not_convert", "exclude_modules")
        listed = next((key for key in keys if key in fields), listed)
    lacking = [] if group_size is not None else ["group_size"]
    lacking += [listed] if listed in fields and fields.get(listed) is None else []
    if lacking:
        raise fields.stop(f" has no {' and no '.join(lacking)}")
    if algo == "FP8":
        why = "this runtime reads the weights as unquantized and quantizes them itself"
        return EffectiveMetadata(fields.file, fields.path, "", ignored=why)
    kv = _kv(fields, release.reading, flat=flat, by_name=True)
    return _made(files, fields, algo, listed, kv=kv, group_size=group_size)


def _flat_group(fields: JsonObject) -> object:
    size, groups = fields.get("group_size"), fields.get("config_groups", {})
    if size is not None or not groups:
        return size
    first = next(iter(groups.values())) if isinstance(groups, dict) else None
    if isinstance(first, dict) and isinstance(weights := first.get("weights", {}), dict):
        return weights.get("group_size")
    raise fields.stop(": first group is not an object", "config_groups")


def _common_group(fields: JsonObject) -> int:
    """The one group_size of ModelOpt's wrapped object."""
    size = fields.get("group_size")
    if not isinstance(size, int):
        raise fields.stop(" has no whole number for group_size")
    return size
