"""Rebuild quantized_layers, and the targets beside it, of a file that decides per module."""

from collections import Counter
from collections.abc import Mapping

from ckptfix.checkpoint.metadata import MetadataFile, Statement
from ckptfix.jsontext.text import Path
from ckptfix.names import is_class_name
from ckptfix.rewriting.rebuild.changes import Changes, Sources, config_group
from ckptfix.rewriting.rebuild.stored_layers import StoredLayer


def rebuild_entries(
    sources: Sources, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """Wrong entries go or change, missing ones are added; then the targets follow."""
    right = _keep_right(sources, metadata, changes)
    added = sources.layers.as_entries(without=frozenset(right))
    path = (*metadata.root, "quantized_layers")
    if isinstance(value.get("quantized_layers"), dict):
        for name, layer in added.items():
            changes.set((*path, name), layer.as_entry())
    elif added:
        made = {name: layer.as_entry() for name, layer in added.items()}
        changes.set(path, made, statements=len(made))
    _rebuild_top_size(sources, metadata, value, changes)
    _rebuild_targets(sources, metadata, added, changes)


def _rebuild_top_size(
    sources: Sources, metadata: MetadataFile, value: Mapping[str, object], changes: Changes
) -> None:
    """A group_size beside the map, which vLLM goes by, says what the layers have."""
    sizes = {layer.group_size for layer in sources.layers.quantized.values()} - {None}
    if value.get("group_size") is not None and len(sizes) == 1:
        changes.set((*metadata.root, "group_size"), sizes.pop())


def _keep_right(sources: Sources, metadata: MetadataFile, changes: Changes) -> set[str]:
    """The modules that some entry names rightly, after that entry was set right."""
    named: set[str] = set()
    for entry in metadata.of_kind("entry"):
        if entry.quant_algo is None:
            continue
        modules = sources.modules_of(entry.name)
        stored = [m for m in modules if m in sources.layers.quantized]
        kinds = {sources.layers.quantized[m] for m in stored if not _fits(sources, m, entry)}
        if not stored and not any(map(sources.is_quantized, modules)):
            changes.removals.add(entry.path)
        elif len(kinds) > 1 or (kinds and any(_fits(sources, m, entry) for m in stored)):
            changes.removals.add(entry.path)  # a container whose modules differ
        else:
            named.update(stored)
            if kinds:
                changes.set(entry.path, kinds.pop().as_entry())
    return named


def _fits(sources: Sources, module: str, entry: Statement) -> bool:
    fit = sources.checkpoint.formats[module].fit(entry.quant_algo)
    if fit is None:
        return False
    unsaid = not fit.format.writes_group_size and entry.group_size is None
    return unsaid or (fit.group_size or None) == entry.group_size


def _rebuild_targets(
    sources: Sources,
    metadata: MetadataFile,
    added: Mapping[str, StoredLayer],
    changes: Changes,
) -> None:
    """Targets that name layers stand in the group of their format."""
    groups: dict[Path, list[tuple[Statement, StoredLayer | None]]] = {}
    for target in metadata.of_kind("target"):
        if not is_class_name(target.name):
            layer = next(
                (
                    sources.layers.quantized[m]
                    for m in sources.modules_of(target.name)
                    if m in sources.layers.quantized
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
    _house(metadata, homes, astray, changes)


def _house(
    metadata: MetadataFile,
    homes: Mapping[StoredLayer, Path],
    astray: Mapping[StoredLayer, list[str]],
    changes: Changes,
) -> None:
    groups = (*metadata.root, "config_groups")
    for number, (layer, names) in enumerate(astray.items()):
        if layer in homes:
            changes.append(homes[layer], names)
        elif group := config_group(layer, names):
            path = (*groups, f"group_{len(homes) + number}")
            changes.set(path, group, statements=len(names))
