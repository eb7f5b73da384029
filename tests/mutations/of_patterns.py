"""Mutations of the exclude patterns, and of what is said of the checkpoint as a whole."""

from random import Random

from tests.mutations.editable import Editable
from tests.mutations.kind import FROM_TENSORS, kind, pick


def _replaced(files: Editable, old: str, new: str) -> str:
    files.change_patterns(lambda patterns: [new if one == old else one for one in patterns])
    return new


def _added(files: Editable, pattern: str) -> str:
    files.change_patterns(lambda patterns: [*patterns, pattern])
    return pattern


def _is_mixed(files: Editable) -> bool:
    return any(one.get("quant_algo") == "MIXED_PRECISION" for one in files.quantization)


@kind("CKF206 CKF701", repair=FROM_TENSORS, always=False)
def pattern_is_gone(files: Editable, random: Random) -> str | None:
    if (gone := pick(random, files.patterns)) is None:
        return None
    files.change_patterns(lambda patterns: [one for one in patterns if one != gone])
    return ""


@kind("CKF105 CKF206 CKF701", repair=FROM_TENSORS, always=False)
def pattern_gains_a_prefix(files: Editable, random: Random) -> str | None:
    old = pick(random, files.patterns)
    return old and _replaced(files, old, f"base.{old}")


@kind("CKF105 CKF206 CKF701", repair=FROM_TENSORS, always=False)
def pattern_has_a_typo(files: Editable, random: Random) -> str | None:
    old = pick(random, [one for one in files.patterns if len(one.rstrip("*")) > 4])
    return old and _replaced(files, old, f"{old[:3]}x{old[3:]}")


@kind("CKF103", repair=FROM_TENSORS)
def pattern_is_a_regular_expression(files: Editable, random: Random) -> str | None:
    old = pick(random, files.patterns)
    return old and _replaced(files, old, f"re:.*{old.rstrip('*')}")


@kind("CKF105", repair=FROM_TENSORS)
def pattern_of_no_module(files: Editable, _random: Random) -> str | None:
    return _added(files, "model.no_such_module") if files.quantization else None


@kind("CKF205 CKF203 CKF701", repair=FROM_TENSORS)
def pattern_names_a_quantized_module(files: Editable, random: Random) -> str | None:
    module = pick(random, files.quantized_modules())
    return module and _added(files, module)


@kind("CKF205 CKF203 CKF701", repair=FROM_TENSORS)
def pattern_reaches_quantized_modules(files: Editable, random: Random) -> str | None:
    module = pick(random, files.quantized_modules())
    return module and _added(files, f"*{module.rpartition('.')[2]}*")


@kind("CKF303 CKF701 CKF702", repair=FROM_TENSORS)
def quant_algo_is_another(files: Editable, _random: Random) -> str | None:
    if _is_mixed(files):
        return None
    for quantization in files.quantization:
        quantization["quant_algo"] = "FP8" if "FP4" in quantization["quant_algo"] else "NVFP4"
        quantization.pop("config_groups", None)
    return ""


@kind("CKF303 CKF701 CKF702", repair=FROM_TENSORS)
def quant_algo_is_of_no_release(files: Editable, _random: Random) -> str | None:
    if _is_mixed(files):
        return None
    for quantization in files.quantization:
        quantization["quant_algo"] = "W3A3"
        quantization.pop("config_groups", None)
    return ""


@kind("CKF304", repair=FROM_TENSORS)
def group_size_is_another(files: Editable, _random: Random) -> str | None:
    if _is_mixed(files) or "NVFP4" not in str(files.quantization[0].get("quant_algo")):
        return None
    for quantization in files.quantization:
        if "group_size" in quantization:
            quantization["group_size"] = 64
        for group in quantization.get("config_groups", {}).values():
            group["weights"]["group_size"] = 64
    return ""


@kind("CKF207 CKF702 CKF701", repair=FROM_TENSORS, always=False)
def quant_method_is_gone(files: Editable, _random: Random) -> str | None:
    config = files.documents["config.json"].get("quantization_config", {})
    return "" if config.pop("quant_method", None) else None


@kind("CKF201 CKF207 CKF702 CKF701", always=False)
def no_metadata_at_all(files: Editable, _random: Random) -> str | None:
    if not files.documents["config.json"].pop("quantization_config", None):
        return None
    files.documents.pop("hf_quant_config.json", None)
    return ""


@kind("CKF501 CKF206", repair=FROM_TENSORS)
def pattern_is_gone_from_one_file(files: Editable, random: Random) -> str | None:
    """One that spares a linear layer; the rest says nothing to any release."""
    if _is_mixed(files) or len(files.quantization) < 2:
        return None
    patterns = files.documents["hf_quant_config.json"]["quantization"].get("exclude_modules", [])
    linear = [n for n in files.tensors if n.endswith(("_proj.weight", "lm_head.weight"))]
    says = [one for one in patterns if any(n.startswith(one.rstrip("*.") + ".") for n in linear)]
    if (gone := pick(random, says)) is None:
        return None
    patterns.remove(gone)
    return gone.rstrip("*.")


@kind("CKF501 CKF303", repair=FROM_TENSORS)
def quant_algo_differs_between_the_files(files: Editable, _random: Random) -> str | None:
    if _is_mixed(files) or len(files.quantization) < 2:
        return None
    second = files.documents["hf_quant_config.json"]["quantization"]
    second["quant_algo"] = "FP8" if "FP4" in second["quant_algo"] else "NVFP4"
    return ""


@kind("CKF401")
def kv_cache_differs_between_the_files(files: Editable, _random: Random) -> str | None:
    if len(files.quantization) < 2:
        return None
    second = files.documents["hf_quant_config.json"]["quantization"]
    said = second.get("kv_cache_quant_algo")
    second["kv_cache_quant_algo"] = None if said else "FP8"
    return ""


@kind("CKF402", repair=FROM_TENSORS)
def kv_cache_is_said_nowhere(files: Editable, _random: Random) -> str | None:
    if not any(name.endswith(".k_scale") for name in files.tensors):
        return None
    for quantization in files.quantization:
        quantization.pop("kv_cache_scheme", None)
        if "kv_cache_quant_algo" in quantization:
            quantization["kv_cache_quant_algo"] = None
    return ""


@kind("CKF602")
def draft_layers_are_announced(files: Editable, _random: Random) -> str | None:
    config = files.documents["config.json"]
    inner = next((config[key] for key in ("text_config", "llm_config") if key in config), config)
    inner["num_nextn_predict_layers"] = 1
    return ""


@kind("CKF702")
def architecture_has_a_typo(files: Editable, _random: Random) -> str | None:
    names = files.documents["config.json"]["architectures"]
    names[0] += "x"
    return str(names[0])
