"""Makes ModelOpt's metadata from tensors: one algorithm, or a map if layers differ.

If only the KV cache is quantized, ModelOpt declares no algorithm, which no release of vLLM or
SGLang accepts. Both quantize the cache for an algorithm whose layers are all excluded (vLLM 0.33.0
vllm/model_executor/layers/quantization/modelopt.py and SGLang 0.5.23
sglang/srt/layers/quantization/modelopt_quant.py, `get_quant_method`).
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.interface import Stored
from ckptfix.checkpoint.dialects.modelopt.entries import as_entry, config_group, rebuild_entries
from ckptfix.checkpoint.dialects.modelopt.exclude_cover import cover
from ckptfix.checkpoint.dialects.modelopt.reader import (
    ENTRIES,
    FLAT_EXCLUDES,
    GROUPS,
    NESTED,
    WRAPPED_EXCLUDES,
)
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    MIXED,
    MetadataFile,
    Statement,
    is_weight_only,
)
from ckptfix.checkpoint.formats.layers import StoredLayer
from ckptfix.jsontext.text import Path
from ckptfix.names import is_class_name, is_regex

_FP8_KV_SCHEME: Final = {"dynamic": False, "num_bits": 8, "type": "float"}
_FOR_CACHE_ALONE: Final = StoredLayer("FP8", None)
_NEEDS_FIELDS: Final = "NVFP4"
"""vLLM 0.33.0 stops when hf_quant_config.json lacks a field of an algorithm with this in its name
(vllm/model_executor/layers/quantization/modelopt.py, `ModelOptNvFp4Config._from_config`)."""

_READ_BY_INPUTS: Final = "NVFP4"
"""Where no config group has input_activations, it is read as another one: `is_weight_only`."""


class ModelOptWriter:
    """ModelOpt's metadata, made from the tensors."""

    def new_config(self, stored: Stored) -> dict[str, object]:
        """A `quantization_config` for a config.json that has none."""
        layers = stored.layers
        made: dict[str, object] = {}
        uniform = layers.uniform if stored.quantized else _FOR_CACHE_ALONE
        if uniform is None:
            made[ENTRIES] = _all_entries(stored)
            made[FLAT_EXCLUDES] = []
        else:
            group = config_group(uniform, ["Linear"])
            if group is not None and stored.quantized:
                made[GROUPS] = {"group_0": group}
            made[FLAT_EXCLUDES] = list(cover(layers.unquantized, stored.quantized))
        made["quant_algo"] = uniform.quant_algo if uniform else MIXED
        if stored.kv_cache_quant_algo:
            made["kv_cache_scheme"] = _kv_scheme(stored.kv_cache_quant_algo)
        elif uniform is None:
            made["kv_cache_scheme"] = None  # without it SGLang looks for the map in the other file
        made["quant_method"] = "modelopt"
        return made

    def rebuild(
        self, metadata: MetadataFile, value: Mapping[str, object], stored: Stored
    ) -> Changes:
        """The changes that make one file match the tensors."""
        if NESTED in value and value[NESTED] is None:
            return self._instead_of_null(metadata, stored)
        changes = Changes()
        if not stored.quantized:
            _rebuild_for_cache_alone(stored, metadata, value, changes)
        elif metadata.is_mixed and (metadata.of_kind("entry") or stored.layers.uniform is None):
            rebuild_entries(stored, metadata, value, changes)
        else:
            _rebuild_uniform(stored, metadata, value, changes)
        _rebuild_common(stored, metadata, value, changes)
        return changes

    def _instead_of_null(self, metadata: MetadataFile, stored: Stored) -> Changes:
        """The whole object that a file wraps its fields in, where it is null."""
        root = (*metadata.root, NESTED)
        wrapped = replace(
            metadata,
            root=root,
            algo_path=(*root, "quant_algo"),
            entries_path=(*root, ENTRIES),
            exclude_list=(*root, WRAPPED_EXCLUDES),
        )
        inner = self.rebuild(wrapped, {}, stored).settings
        changes = Changes()
        changes.set(
            root, {str(path[-1]): value for path, value in inner.items()}, statements=len(inner)
        )
        return changes


def _all_entries(stored: Stored) -> dict[str, object]:
    return {name: as_entry(layer) for name, layer in stored.layers.as_entries().items()}


def _rebuild_for_cache_alone(
    stored: Stored, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """An algorithm that is only there for the cache, with every module excluded."""
    root = metadata.root
    left = {metadata.entries_field, GROUPS, "group_size"}
    changes.removals |= {(*root, key) for key in left if key in value}
    if (metadata.quant_algo or "").upper() != _FOR_CACHE_ALONE.quant_algo:
        changes.set(metadata.algo_path, _FOR_CACHE_ALONE.quant_algo)
    _rebuild_excludes(stored, metadata, value, changes)


def _rebuild_uniform(
    stored: Stored, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """One algorithm for the whole checkpoint, or a layer map if the tensors differ."""
    layer = stored.layers.uniform
    root = metadata.root
    if layer is None:
        entries = _all_entries(stored)
        changes.set(metadata.algo_path, MIXED)
        changes.set(metadata.entries_path, entries, statements=len(entries))
        changes.removals |= {(*root, k) for k in (GROUPS, "group_size") if k in value}
        return
    if metadata.quant_algo != layer.quant_algo:  # SGLang compares without folding the case
        changes.set(metadata.algo_path, layer.quant_algo)
    if metadata.is_mixed and metadata.entries_field in value:
        changes.removals.add(metadata.entries_path)  # a map of nothing
    _rebuild_sizes(metadata, layer, value, changes)
    _rebuild_targets(stored, metadata, changes)
    _rebuild_excludes(stored, metadata, value, changes)


def _rebuild_sizes(
    metadata: MetadataFile, layer: StoredLayer, value: Mapping[str, object], changes: Changes
) -> None:
    """group_size, where the file declares it: in config_groups of config.json, or at the top."""
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
    groups = value.get(GROUPS)
    declared = _sizes_in(groups)
    if "group_size" in value and (layer.group_size is not None or not stays):
        changes.set((*root, "group_size"), layer.group_size)
        declared.add(layer.group_size)
    group = config_group(layer, ["Linear"])
    stays = stays and not (layer.quant_algo == _READ_BY_INPUTS and is_weight_only(groups))
    if stays and (group is None or layer.group_size is None or declared == {layer.group_size}):
        return
    if group is not None:
        changes.set((*root, GROUPS), {"group_0": group})
    elif GROUPS in value:
        changes.removals.add((*root, GROUPS))


def _rebuild_targets(stored: Stored, metadata: MetadataFile, changes: Changes) -> None:
    """Remove targets that match nothing; a group without targets applies to all linear layers."""
    if (*metadata.root, GROUPS) in changes.settings:
        return
    groups: dict[Path, list[Statement]] = {}
    for target in metadata.of_kind("target"):
        groups.setdefault(target.path[:-1], []).append(target)
    for path, targets in groups.items():
        wrong = [t for t in targets if not is_class_name(t.name) and not stored.modules_of(t.name)]
        if wrong and len(wrong) == len(targets):
            changes.set(path, ["Linear"])
        else:
            changes.removals.update(target.path for target in wrong)


def _sizes_in(groups: object) -> set[object]:
    """Every group_size that config_groups declares for weights."""
    specs = groups.values() if isinstance(groups, Mapping) else ()
    weights = [spec.get("weights") for spec in specs if isinstance(spec, Mapping)]
    return {spec.get("group_size") for spec in weights if isinstance(spec, Mapping)}


def _rebuild_common(
    stored: Stored, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """Changes for every file: valid patterns, KV cache, quant_method."""
    for statement in metadata.of_kind("exclude"):
        if not _is_sound(stored, statement.name):
            changes.removals.add(statement.path)
    listed = value.get(str(metadata.exclude_list[-1]))
    if isinstance(listed, list):  # what is no name excludes nothing, and stops runtimes
        names = enumerate(listed)
        changes.removals |= {
            (*metadata.exclude_list, at) for at, name in names if not isinstance(name, str)
        }
    in_config = metadata.file == CONFIG_FILE
    if metadata.kv_cache_quant_algo is None and stored.kv_cache_quant_algo:
        algo = stored.kv_cache_quant_algo
        key = "kv_cache_scheme" if in_config else "kv_cache_quant_algo"
        changes.set((*metadata.root, key), _kv_scheme(algo) if in_config else algo)
    method = value.get("quant_method")
    if in_config and not method:
        changes.set((*metadata.root, "quant_method"), "modelopt")
    elif in_config and isinstance(method, str) and method != method.lower():
        changes.set((*metadata.root, "quant_method"), method.lower())


def _rebuild_excludes(
    stored: Stored, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """Exclude every unquantized linear layer from an algorithm for the whole checkpoint."""
    covered: set[str] = set()
    for statement in metadata.excludes:
        if _is_sound(stored, statement.name):
            covered.update(stored.covered_by(statement.name))
    left = [name for name in stored.layers.unquantized if name not in covered]
    path = metadata.exclude_list
    if path in changes.settings:
        del changes.settings[path]
    changes.add_to(path, value.get(str(path[-1])), list(cover(left, stored.quantized)))
    if path[-1] not in value and path not in changes.settings:
        changes.set(path, [])


def _is_sound(stored: Stored, pattern: str) -> bool:
    return not is_regex(pattern) and stored.is_sound(pattern)


def _kv_scheme(quant_algo: str) -> object:
    """ModelOpt 0.35 and later: an object for FP8, a bare string otherwise."""
    return _FP8_KV_SCHEME if quant_algo.upper() == "FP8" else quant_algo
