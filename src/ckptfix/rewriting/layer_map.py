"""The map of layers where every runtime reads it: in config.json."""

from collections.abc import Mapping

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import CONFIG_FILE, HF_QUANT_FILE, MetadataFile
from ckptfix.jsontext.edit import DocumentEdit, edit_document
from ckptfix.jsontext.spans import apply_edits
from ckptfix.jsontext.text import Path
from ckptfix.rewriting.plan import FileChange


def map_into_config(checkpoint: Checkpoint) -> FileChange | None:
    """config.json with the map that only hf_quant_config.json has; None where it lacks none.

    ModelOpt 0.27 to 0.42 wrote MIXED_PRECISION without quantized_layers to config.json. vLLM then
    reads hf_quant_config.json; SGLang does not and takes the checkpoint for W4AFP8, so a name that
    is added to the other file never reaches it. With the map come the exclude patterns beside it.
    """
    by_name = {metadata.file: metadata for metadata in checkpoint.metadata}
    config, hf_quant = by_name.get(CONFIG_FILE), by_name.get(HF_QUANT_FILE)
    if config is None or hf_quant is None or not config.is_mixed:
        return None
    if config.of_kind("entry") or not hf_quant.of_kind("entry"):
        return None
    layers = _value(checkpoint, hf_quant)["quantized_layers"]
    settings: dict[Path, object] = {(*config.root, "quantized_layers"): layers}
    appended: dict[Path, list[str]] = {}
    known = {statement.name for statement in config.of_kind("exclude")}
    patterns = [s.name for s in hf_quant.of_kind("exclude") if s.name not in known]
    path = config.exclude_list
    if patterns and isinstance(_value(checkpoint, config).get(str(path[-1])), list):
        appended[path] = patterns
    elif patterns:
        settings[path] = patterns
    document = checkpoint.documents[CONFIG_FILE]
    edits = edit_document(document, DocumentEdit(settings=settings, appended=appended))
    after = apply_edits(document.text, edits)
    moved = len(layers) + len(patterns)
    return FileChange(CONFIG_FILE, document.text, after, edits, renamed=0, removed=0, copied=moved)


def _value(checkpoint: Checkpoint, metadata: MetadataFile) -> Mapping[str, dict[str, object]]:
    value = checkpoint.documents[metadata.file].value
    for part in metadata.root:
        value = value[str(part)]
    return value
