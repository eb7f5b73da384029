"""Rebuilds quantized_layers and config_groups targets of a file that decides per module."""

from collections import Counter
from collections.abc import Mapping

from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.interface import Stored
from ckptfix.checkpoint.dialects.modelopt.reader import GROUPS, TARGETS
from ckptfix.checkpoint.dialects.statements import INPUTS, MetadataFile, Statement
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.formats.layers import StoredLayer
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.jsontext.text import Path
from ckptfix.names import is_class_name


def as_entry(layer: StoredLayer) -> dict[str, object]:
    """A value of quantized_layers."""
    size = {} if layer.group_size is None else {"group_size": layer.group_size}
    return {"quant_algo": layer.quant_algo, **size}


def config_group(layer: StoredLayer, targets: list[str]) -> dict[str, object] | None:
    """A value of config_groups; None for an algorithm that has none."""
    row = format_named(layer.quant_algo)
    if row is None or not row.has_config_group:
        return None
    codes = row.codes
    spec: dict[str, object] = {"dynamic": False, "num_bits": codes.bits, "type": codes.kind}
    if layer.group_size is not None:
        spec["group_size"] = layer.group_size
    activations = {} if row.inputs.is_unquantized else {INPUTS: dict(spec)}
    return {**activations, "weights": spec, TARGETS: targets}


def rebuild_entries(
    stored: Stored, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """Wrong entries are removed or changed, missing ones added; then the targets follow."""
    right = _keep_right(stored, metadata, changes)
    added = stored.layers.as_entries(without=frozenset(right))
    path = metadata.entries_path
    if isinstance(value.get(metadata.entries_field), dict):
        for name, layer in added.items():
            changes.set((*path, name), as_entry(layer))
    elif added:
        made = {name: as_entry(layer) for name, layer in added.items()}
        changes.set(path, made, statements=len(made))
    _rebuild_top_size(stored, metadata, value, changes)
    _rebuild_targets(stored, metadata, added, changes)


def _rebuild_top_size(
    stored: Stored, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """A group_size next to the map, which vLLM uses, must match the layers."""
    sizes = {layer.group_size for layer in stored.layers.quantized.values()} - {None}
    if value.get("group_size") is not None and len(sizes) == 1:
        changes.set((*metadata.root, "group_size"), sizes.pop())


def _keep_right(stored: Stored, metadata: MetadataFile, changes: Changes) -> set[str]:
    """The modules that some entry covers correctly, after correcting that entry."""
    named: set[str] = set()
    layers, quantized = stored.layers.quantized, frozenset(stored.quantized)
    for entry in metadata.of_kind("entry"):
        if entry.quant_algo is None:
            continue
        modules = stored.modules_of(entry.name)
        known = [m for m in modules if m in layers]
        wrong = [m for m in known if not stored.fits(m, entry.quant_algo, entry.group_size)]
        kinds = {layers[m] for m in wrong}
        if not known and quantized.isdisjoint(modules):
            changes.removals.add(entry.path)
        elif _is_block(entry.name, known) or len(kinds) > 1 or 0 < len(wrong) < len(known):
            changes.removals.add(entry.path)  # of modules that differ, or that it does not reach
        else:
            named.update(known)
            if kinds:
                changes.set(entry.path, as_entry(kinds.pop()))
    return named


def _is_block(name: str, modules: list[str]) -> bool:
    """True for the name of a block, below which runtimes find experts, but no other modules."""
    below = (m.startswith(f"{name}.") and EXPERTS not in m for m in modules)
    return bool(modules) and all(below)


def _rebuild_targets(
    stored: Stored,
    metadata: MetadataFile,
    added: Mapping[str, StoredLayer],
    changes: Changes,
) -> None:
    """Place targets that name layers in the group of their format."""
    groups: dict[Path, list[tuple[Statement, StoredLayer | None]]] = {}
    for target in metadata.of_kind("target"):
        if not is_class_name(target.name):
            layer = next(
                (
                    stored.layers.quantized[m]
                    for m in stored.modules_of(target.name)
                    if m in stored.layers.quantized
                ),
                None,
            )
            groups.setdefault(target.path[:-1], []).append((target, layer))
    if not groups:
        return
    homes: dict[StoredLayer, Path] = {}
    astray: dict[StoredLayer, list[str]] = {}
    for path, targets in groups.items():
        counted = Counter(layer for _, layer in targets if layer is not None)
        home = counted.most_common(1)[0][0] if counted else None
        if home is not None:
            homes.setdefault(home, path)
        for target, layer in targets:
            if layer is None or layer != home:
                changes.removals.add(target.path)
                if layer is not None:
                    astray.setdefault(layer, []).append(target.name)
    for name, layer in added.items():
        astray.setdefault(layer, []).append(name)
    _place_in_groups(metadata, homes, astray, changes)


def _place_in_groups(
    metadata: MetadataFile,
    homes: Mapping[StoredLayer, Path],
    astray: Mapping[StoredLayer, list[str]],
    changes: Changes,
) -> None:
    groups = (*metadata.root, GROUPS)
    for number, (layer, names) in enumerate(astray.items()):
        if layer in homes:
            changes.append(homes[layer], names)
        elif group := config_group(layer, names):
            path = (*groups, f"group_{len(homes) + number}")
            changes.set(path, group, statements=len(names))
