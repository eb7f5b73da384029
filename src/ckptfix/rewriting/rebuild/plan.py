"""Rebuild every metadata file from the tensors, and prove that nothing got worse."""

from collections.abc import Iterable

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.interface import Writer
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    CONFIG_ROOT,
    MetadataFile,
    value_at,
)
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.edit import DocumentEdit
from ckptfix.jsontext.spans import compose_edits
from ckptfix.jsontext.text import JsonText
from ckptfix.rewriting.plan import FileChange, Plan
from ckptfix.rewriting.proof import new_errors
from ckptfix.rewriting.rebuild.sources import Sources
from ckptfix.rewriting.rebuild.stored_layers import stored_layers
from ckptfix.rules.reading import Declarations
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.registry import read_by_runtimes


def plan_rebuild(checkpoint: Checkpoint, name_map: NameMap) -> tuple[FileChange, ...]:
    """The changes that make every file match the tensors; empty if all do.

    A quantized cache counts even if no weight is quantized, and so does an algorithm that is
    declared for nothing: weights that were merged with an adapter and stored as BF16.
    Modules whose tensors fit no format stay as they are: no metadata describes them.

    Raises:
        CkptfixError: the dialect of the metadata has no writer.
    """
    writer = _writer(checkpoint)
    sources = _sources(checkpoint, name_map)
    alone = not sources.quantized and sources.kv_cache_quant_algo is not None
    if not (sources.layers.quantized or alone or _declares_what_is_not_stored(checkpoint)):
        return ()
    read = read_by_runtimes(checkpoint.metadata)
    elsewhere = [m for m in read if m.file == CONFIG_FILE and m.root != CONFIG_ROOT]
    changes = [
        changed_file(checkpoint.documents[metadata.file], _rebuild(sources, metadata, writer))
        for metadata in read
        if metadata not in elsewhere
    ]
    if _lacks_quantization_config(checkpoint):
        # What is in another place moves: only there do all releases read it.
        new = Changes(removals={metadata.root for metadata in elsewhere})
        new.set(
            CONFIG_ROOT, writer.new_config(sources), statements=len(sources.layers.as_entries())
        )
        changes.append(changed_file(checkpoint.documents[CONFIG_FILE], new))
    return tuple(change for change in changes if change.edits)


def _declares_what_is_not_stored(checkpoint: Checkpoint) -> bool:
    """True if an algorithm is declared and nothing is quantized, in no format of any quantizer."""
    declared = any(metadata.quant_algo for metadata in checkpoint.metadata)
    return declared and not any(stored.is_quantized for stored in checkpoint.formats.values())


def _writer(checkpoint: Checkpoint) -> Writer:
    dialect = checkpoint.dialect
    if dialect.writer is None:
        raise CkptfixError(
            f"{checkpoint.name}: metadata of {dialect.quantizer} cannot be rebuilt from tensors",
            advice="leave `from_tensors` out",
        )
    return dialect.writer


def _sources(checkpoint: Checkpoint, name_map: NameMap) -> Sources:
    naming = Naming(checkpoint, name_map)
    layers = stored_layers(checkpoint, Declarations.of(checkpoint, name_map).names)
    stated = (m.kv_cache_quant_algo for m in checkpoint.metadata)
    kv = next((algo for algo in stated if algo), None)
    if kv is None and any(r in m.tensors for m in checkpoint.modules.values() for r in KV_ROLES):
        kv = "FP8"
    return Sources(checkpoint, naming, layers, kv)


def _lacks_quantization_config(checkpoint: Checkpoint) -> bool:
    document = checkpoint.documents.get(CONFIG_FILE)
    return document is not None and document.value.get(CONFIG_ROOT[0]) is None


def _rebuild(sources: Sources, metadata: MetadataFile, writer: Writer) -> Changes:
    value = value_at(sources.checkpoint.documents[metadata.file].value, metadata.root)
    if isinstance(value, dict):
        return writer.rebuild(metadata, value, sources)
    changes = Changes()
    if metadata.file == CONFIG_FILE:  # nothing to keep
        changes.set(metadata.root, writer.new_config(sources))
    return changes


def changed_file(document: JsonText, changes: Changes, *, names: bool = False) -> FileChange:
    """The file after the collected changes.

    Args:
        document: the file.
        changes: they may replace existing values.
        names: they add names, instead of declaring what is stored.
    """
    changes = changes.without_what_is_there(document)
    edit = DocumentEdit(
        removals=changes.removals, settings=changes.settings, appended=changes.appended
    )
    number = changes.rebuilt
    return FileChange.of(
        document, edit, added=number if names else 0, rebuilt=0 if names else number
    )


def join_plans(
    checkpoint: Checkpoint, name_map: NameMap, rebuilt: tuple[FileChange, ...], plan: Plan
) -> Plan:
    """The rebuild and the plan on its result, as one plan for the original checkpoint."""
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
    """The edits of both, by file; the second starts from the texts that the first produces.

    Files that end up unchanged are left out.
    """
    joined = {change.file: change for change in first}
    for change in second:
        earlier = joined.get(change.file)
        joined[change.file] = change if earlier is None else _join(earlier, change)
    return tuple(change for change in joined.values() if change.after != change.document.data)


def _join(first: FileChange, second: FileChange) -> FileChange:
    return replace(
        second,
        document=first.document,
        edits=compose_edits(first.before, first.edits, second.edits),
        renamed=first.renamed + second.renamed,
        removed=first.removed + second.removed,
        added=first.added + second.added,
        rebuilt=first.rebuilt + second.rebuilt,
        copied=first.copied + second.copied,
        copied_from=first.copied_from or second.copied_from,
        draft=None,
    )
