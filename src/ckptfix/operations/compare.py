"""`compare`: a checkpoint compared with its source, and with its drafter."""

import os
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects import registry
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE
from ckptfix.checkpoint.metadata_files import read_metadata
from ckptfix.checkpoint.model_config import ModelConfig, parse_model_config
from ckptfix.checkpoint.table_reading import read_tensors
from ckptfix.errors import CkptfixError
from ckptfix.operations.against_source import SourceComparison, compare_tensors
from ckptfix.operations.drafter import Drafter, DraftPair, pair_up
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import in_checkpoint, load, open_named
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import NetworkPolicy
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.name_maps import builtin_name_map


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; no weight was read."""

    checkpoint: str
    source: SourceComparison | None
    """None if no source was given."""
    draft: DraftPair | None
    """None if no drafter was given."""

    @property
    def passes(self) -> bool:
        """True when nothing of the source is lost, and the drafter fits."""
        complete = self.source is None or self.source.complete
        return complete and (self.draft is None or self.draft.fits)


def compare(
    checkpoint: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    *,
    draft: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> Comparison:
    """Compare a checkpoint with the one that it was made from, or with its drafter.

    Only JSON files and safetensors headers are read.

    Args:
        checkpoint: the quantized one: a directory, a repository of the Hub, or a URL.
        source: the unquantized one.
        draft: the drafter that it is published with (EAGLE-3, DFlash, MTP), quantized or not.
        revision: branch, tag or commit of the repository `checkpoint`.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: one of them cannot be read, or neither `source` nor `draft` is given.
    """
    if source is None and draft is None:
        raise CkptfixError("nothing to compare with", advice="pass a source, or `draft`")
    loaded = load(os.fspath(checkpoint), NetworkPolicy(revision, offline, refresh), listener)
    others = NetworkPolicy(None, offline, refresh)
    with limited():
        return Comparison(
            loaded.name,
            None if source is None else _with_source(loaded, os.fspath(source), others, listener),
            None if draft is None else _with_draft(loaded, os.fspath(draft), others, listener),
        )


def _with_source(
    checkpoint: Checkpoint, source: str, policy: NetworkPolicy, listener: Listener
) -> SourceComparison:
    opened = open_named(source, policy, listener)
    with in_checkpoint(str(opened.reference)):
        table = read_tensors(opened.source, listener)
    labels = Declarations.of(checkpoint, builtin_name_map(checkpoint)).labels
    return compare_tensors(checkpoint, labels, table, str(opened.reference))


def _with_draft(
    checkpoint: Checkpoint, draft: str, policy: NetworkPolicy, listener: Listener
) -> DraftPair:
    opened = open_named(draft, policy, listener)
    name = str(opened.reference)
    with in_checkpoint(name):
        documents, _ = read_metadata(opened.source, registry.METADATA_FILES)
        config = ModelConfig()
        if CONFIG_FILE in documents:
            config = parse_model_config(documents[CONFIG_FILE].value)
        metadata = registry.parse_metadata(documents)
        table = read_tensors(opened.source, listener)
    return pair_up(checkpoint.config, Drafter(name, config, metadata, table))
