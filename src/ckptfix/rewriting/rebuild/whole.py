"""Rebuild what a file says of the whole checkpoint, or make it where there is nothing."""

from collections.abc import Mapping

from ckptfix.checkpoint.metadata import CONFIG_FILE, MIXED, MetadataFile
from ckptfix.rewriting.rebuild.changes import Changes, Sources, config_group
from ckptfix.rewriting.rebuild.exclude_cover import cover
from ckptfix.rewriting.rebuild.stored_layers import StoredLayer

_FP8_KV_SCHEME = {"dynamic": False, "num_bits": 8, "type": "float"}
_NEEDS_FIELDS = "NVFP4"
"""vLLM 0.33.0 stops when hf_quant_config.json lacks a field of an algorithm with this in its name
(vllm/model_executor/layers/quantization/modelopt.py, `ModelOptNvFp4Config._from_config`)."""


def new_quantization_config(sources: Sources) -> dict[str, object]:
    """A `quantization_config` for a config.json that has none."""
    layers = sources.layers
    made: dict[str, object] = {}
    if layers.uniform is None:
        made["quantized_layers"] = {n: e.as_entry() for n, e in layers.as_entries().items()}
        made["ignore"] = []
    else:
        if group := config_group(layers.uniform, ["Linear"]):
            made["config_groups"] = {"group_0": group}
        made["ignore"] = list(cover(layers.unquantized, _spared(sources)))
    made["quant_algo"] = layers.quant_algo
    if sources.kv_cache_quant_algo:
        made["kv_cache_scheme"] = _kv_scheme(sources.kv_cache_quant_algo)
    elif layers.uniform is None:
        made["kv_cache_scheme"] = None  # without it SGLang looks for the map in the other file
    made["quant_method"] = "modelopt"
    return made


def rebuild_uniform(
    sources: Sources, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """One algorithm for the whole checkpoint, or a layer map where the tensors differ."""
    layer = sources.layers.uniform
    root = metadata.root
    if layer is None:
        entries = {n: e.as_entry() for n, e in sources.layers.as_entries().items()}
        changes.set((*root, "quant_algo"), MIXED)
        changes.set((*root, "quantized_layers"), entries, statements=len(entries))
        changes.removals |= {(*root, k) for k in ("config_groups", "group_size") if k in value}
        return
    if (metadata.quant_algo or "").lower() != layer.quant_algo.lower():
        changes.set((*root, "quant_algo"), layer.quant_algo)
    _rebuild_sizes(metadata, layer, value, changes)
    _rebuild_excludes(sources, metadata, value, changes)


def _rebuild_sizes(
    metadata: MetadataFile, layer: StoredLayer, value: Mapping[str, object], changes: Changes
) -> None:
    """group_size, where the file says it: in config.json inside config_groups, or at the top."""
    root = metadata.root
    if metadata.file != CONFIG_FILE:
        if layer.group_size != metadata.group_size:
            changes.set((*root, "group_size"), layer.group_size)
        if _NEEDS_FIELDS in layer.quant_algo:
            wanted: dict[str, object] = {"kv_cache_quant_algo": None, "exclude_modules": []}
            for key, usual in wanted.items():
                if key not in value:
                    changes.set((*root, key), usual)
        return
    stays = (metadata.quant_algo or "").lower() == layer.quant_algo.lower()
    declared = _sizes_in(value.get("config_groups"))
    if "group_size" in value and (layer.group_size is not None or not stays):
        changes.set((*root, "group_size"), layer.group_size)
        declared.add(layer.group_size)
    group = config_group(layer, ["Linear"])
    if stays and (group is None or layer.group_size is None or declared == {layer.group_size}):
        return
    if group is not None:
        changes.set((*root, "config_groups"), {"group_0": group})
    elif "config_groups" in value:
        changes.removals.add((*root, "config_groups"))


def _sizes_in(groups: object) -> set[object]:
    """Every group_size that config_groups declares for weights."""
    specs = groups.values() if isinstance(groups, Mapping) else ()
    weights = [spec.get("weights") for spec in specs if isinstance(spec, Mapping)]
    return {spec.get("group_size") for spec in weights if isinstance(spec, Mapping)}


def rebuild_common(
    sources: Sources, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """What every file says: sound patterns, KV cache, quant_method."""
    for statement in metadata.of_kind("exclude"):
        if not sources.is_sound(statement.name):
            changes.removals.add(statement.path)
    in_config = metadata.file == CONFIG_FILE
    if metadata.kv_cache_quant_algo is None and sources.kv_cache_quant_algo:
        algo = sources.kv_cache_quant_algo
        key = "kv_cache_scheme" if in_config else "kv_cache_quant_algo"
        changes.set((*metadata.root, key), _kv_scheme(algo) if in_config else algo)
    if in_config and not value.get("quant_method"):
        changes.set((*metadata.root, "quant_method"), "modelopt")


def _rebuild_excludes(
    sources: Sources, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """Every unquantized linear layer is excluded from an algorithm that holds for the rest."""
    covered: set[str] = set()
    for statement in metadata.of_kind("exclude"):
        if sources.is_sound(statement.name):
            covered.update(sources.naming.read_pattern(statement.name).modules)
    left = [name for name in sources.layers.unquantized if name not in covered]
    path = metadata.exclude_list
    if path in changes.settings:
        del changes.settings[path]
    changes.add_to(path, value.get(str(path[-1])), list(cover(left, _spared(sources))))
    if path[-1] not in value and path not in changes.settings:
        changes.set(path, [])


def _spared(sources: Sources) -> list[str]:
    return [n for n, stored in sources.checkpoint.formats.items() if stored.is_quantized]


def _kv_scheme(quant_algo: str) -> object:
    """ModelOpt 0.35 and later: an object for FP8, a bare string otherwise."""
    return _FP8_KV_SCHEME if quant_algo.upper() == "FP8" else quant_algo
