"""Rebuild every metadata file from the tensors, and prove that nothing got worse."""

from collections.abc import Iterable
from dataclasses import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import CONFIG_FILE, CONFIG_ROOT, QUANT_CFG_FILE, MetadataFile
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.jsontext.edit import DocumentEdit, edit_document
from ckptfix.jsontext.spans import apply_edits, compose_edits
from ckptfix.jsontext.text import JsonText
from ckptfix.rewriting.plan import FileChange, Plan
from ckptfix.rewriting.proof import new_errors
from ckptfix.rewriting.rebuild.changes import Changes, Sources
from ckptfix.rewriting.rebuild.entries import rebuild_entries
from ckptfix.rewriting.rebuild.stored_layers import stored_layers
from ckptfix.rewriting.rebuild.whole import new_quantization_config, rebuild_common, rebuild_uniform
from ckptfix.rules.reading import Declarations
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming


def plan_rebuild(checkpoint: Checkpoint, name_map: NameMap) -> tuple[FileChange, ...]:
    """The changes that make every file say what the tensors say; empty when all do.

    Modules whose tensors fit no format stay as they are: no metadata describes them.
    """
    sources = _sources(checkpoint, name_map)
    if not sources.layers.quantized:
        return ()
    changes = [
        _file_change(checkpoint.documents[metadata.file], _rebuild(sources, metadata))
        for metadata in checkpoint.metadata
        if metadata.file != QUANT_CFG_FILE
    ]
    if _lacks_quantization_config(checkpoint):
        made = new_quantization_config(sources)
        new = Changes()
        new.set(CONFIG_ROOT, made, statements=len(sources.layers.as_entries()))
        changes.append(_file_change(checkpoint.documents[CONFIG_FILE], new))
    return tuple(change for change in changes if change.edits)


def _sources(checkpoint: Checkpoint, name_map: NameMap) -> Sources:
    naming = Naming(checkpoint, name_map)
    layers = stored_layers(checkpoint, Declarations(checkpoint, naming).names)
    stated = (m.kv_cache_quant_algo for m in checkpoint.metadata)
    kv = next((algo for algo in stated if algo), None)
    if kv is None and any(r in m.tensors for m in checkpoint.modules.values() for r in KV_ROLES):
        kv = "FP8"
    return Sources(checkpoint, naming, layers, kv)


def _lacks_quantization_config(checkpoint: Checkpoint) -> bool:
    document = checkpoint.documents.get(CONFIG_FILE)
    return document is not None and document.value.get(CONFIG_ROOT[0]) is None


def _rebuild(sources: Sources, metadata: MetadataFile) -> Changes:
    changes = Changes()
    value = sources.checkpoint.documents[metadata.file].value
    for part in metadata.root:
        value = value[str(part)]
    if metadata.is_mixed:
        rebuild_entries(sources, metadata, value, changes)
    else:
        rebuild_uniform(sources, metadata, value, changes)
    rebuild_common(sources, metadata, value, changes)
    return changes


def _file_change(document: JsonText, changes: Changes) -> FileChange:
    changes = changes.without_what_is_there(document)
    edit = DocumentEdit(
        removals=changes.removals, settings=changes.settings, appended=changes.appended
    )
    edits = edit_document(document, edit)
    return FileChange(
        document.file,
        document.text,
        apply_edits(document.text, edits),
        edits,
        renamed=0,
        removed=len(changes.removals),
        rebuilt=changes.rebuilt,
    )


def join_plans(
    checkpoint: Checkpoint, name_map: NameMap, rebuilt: tuple[FileChange, ...], plan: Plan
) -> Plan:
    """The rebuild and the plan on its result, as one plan from the checkpoint as it is."""
    before = find_all(checkpoint, name_map)
    return replace(
        plan,
        files=join_changes(rebuilt, plan.files),
        findings_before=before,
        refusals=(*new_errors(name_map, before, plan.findings_after), *plan.refusals),
    )


def join_changes(
    first: Iterable[FileChange], second: Iterable[FileChange]
) -> tuple[FileChange, ...]:
    """What both do in turn, by file; the second starts from the texts that the first leaves.

    A file that ends as it was is left out.
    """
    joined = {change.file: change for change in first}
    for change in second:
        earlier = joined.get(change.file)
        joined[change.file] = change if earlier is None else _join(earlier, change)
    return tuple(change for change in joined.values() if change.after != change.before)


def _join(first: FileChange, second: FileChange) -> FileChange:
    return replace(
        second,
        before=first.before,
        edits=compose_edits(first.before, first.edits, second.edits),
        renamed=first.renamed + second.renamed,
        removed=first.removed + second.removed,
        added=first.added + second.added,
        rebuilt=first.rebuilt + second.rebuilt,
        copied=first.copied + second.copied,
    )
