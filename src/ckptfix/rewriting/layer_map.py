"""Copies the layer map to where every runtime reads it: config.json."""

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, MetadataFile, value_at
from ckptfix.jsontext.edit import DocumentEdit
from ckptfix.jsontext.text import Path
from ckptfix.rewriting.plan import FileChange
from ckptfix.runtimes.registry import read_by_runtimes


def map_into_config(checkpoint: Checkpoint) -> FileChange | None:
    """config.json with the layer map that only another file has; None if it lacks none.

    ModelOpt 0.27 to 0.42 wrote MIXED_PRECISION without quantized_layers to config.json. vLLM then
    reads hf_quant_config.json; SGLang does not and reads the checkpoint as W4AFP8, so a name that
    is added to the other file never reaches it. The exclude patterns are copied with the map.
    """
    read = read_by_runtimes(checkpoint.metadata)
    config = next((m for m in read if m.file == CONFIG_FILE), None)
    other = next((m for m in read if m.file != CONFIG_FILE), None)
    if config is None or other is None or not config.is_mixed:
        return None
    if config.of_kind("entry") or not other.of_kind("entry"):
        return None
    layers = value_at(checkpoint.documents[other.file].value, other.entries_path)
    settings: dict[Path, object] = {config.entries_path: layers}
    appended: dict[Path, list[str]] = {}
    known = {statement.name for statement in config.excludes}
    patterns = [s.name for s in other.excludes if s.name not in known]
    path = config.exclude_list
    if patterns and isinstance(_present(checkpoint, config, path), list):
        appended[path] = patterns
    elif patterns:
        settings[path] = patterns
    document = checkpoint.documents[CONFIG_FILE]
    made = FileChange.of(document, DocumentEdit(settings=settings, appended=appended))
    return replace(made, copied=len(layers) + len(patterns), copied_from=other.file)


def _present(checkpoint: Checkpoint, metadata: MetadataFile, path: Path) -> object:
    holder = value_at(checkpoint.documents[metadata.file].value, path[:-1])
    return holder.get(path[-1])
