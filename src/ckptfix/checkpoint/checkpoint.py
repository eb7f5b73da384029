"""A checkpoint: its tensors and its metadata."""

import fnmatch
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ckptfix.checkpoint.dialects import registry
from ckptfix.checkpoint.dialects.interface import Dialect
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, LeftOut, MetadataFile
from ckptfix.checkpoint.expert_banks import expert_numbers
from ckptfix.checkpoint.fold import fold_banks
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.model_config import ModelConfig, parse_model_config
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.checkpoint.source import Source
from ckptfix.checkpoint.tensor_table import TensorTable, read_tensors
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText
from ckptfix.progress import SILENT, Listener

_MISTRAL_FILE = "params.json"
_EMBEDDING_WORDS = ("embed", "wte", "wpe")
"""Name parts of embedding tables, which no runtime builds as a linear layer."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything in the JSON files and safetensors headers; no weights."""

    name: str
    """The checkpoint, as the user named it."""
    config: ModelConfig
    documents: Mapping[str, JsonText]
    """The metadata files, as text."""
    table: TensorTable
    left_out: LeftOut = field(default_factory=dict)
    """Names in the metadata that `metadata` leaves out."""
    whole: "Checkpoint | None" = None
    """The checkpoint that a folded one was made from."""
    mistral: JsonText | None = None
    """params.json, if the weights are also stored in Mistral's own files."""

    @cached_property
    def metadata(self) -> tuple[MetadataFile, ...]:
        """The metadata of each file.

        Raises:
            CkptfixError: as `registry.parse_metadata`.
        """
        return registry.parse_metadata(self.documents, self.left_out)

    @cached_property
    def dialect(self) -> Dialect:
        """The dialect of the metadata; the likeliest one without metadata.

        Raises:
            CkptfixError: as `registry.dialect_of`.
        """
        return registry.dialect_of(self.documents)

    @cached_property
    def folded(self) -> "Checkpoint":
        """With identical experts folded into the first of each bank; itself if there are none.

        Results that mention no expert hold for both: see `fold_banks`.
        """
        fold = fold_banks(self.table, self.documents)
        return (
            self
            if fold is None
            else replace(self, table=fold.table, left_out=fold.left_out, whole=self)
        )

    @cached_property
    def expert_numbers(self) -> dict[str, frozenset[str]]:
        """Name before `.experts.` -> the numbers of all experts stored there."""
        if self.whole is not None:
            return self.whole.expert_numbers
        names = [name for header in self.table.headers.values() for name in header]
        return expert_numbers(names)

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """A value computed once from this checkpoint, under the caller's key."""
        return {}

    @property
    def modules(self) -> dict[str, Module]:
        """Checkpoint name -> module; computed once for all metadata of the same tensors."""
        return self.table.modules

    @property
    def formats(self) -> dict[str, StoredFormat]:
        """Checkpoint name -> stored format; computed once, like the modules."""
        return self.table.formats

    @cached_property
    def unquantized_linears(self) -> dict[str, Tensor]:
        """Modules with an unquantized 2-D weight that is not a table, and that weight."""
        return {
            name: module.weight
            for name, module in self.modules.items()
            if module.weight is not None
            and len(module.weight.shape) == 2
            and not self.formats[name].is_quantized
            and not any(word in name.rpartition(".")[2] for word in _EMBEDDING_WORDS)
        }

    @property
    def producer(self) -> str:
        """The exporter, by the first file that names it."""
        return next((m.producer for m in self.metadata if m.producer), "")


def _mistral(source: Source) -> JsonText | None:
    """Mistral's own config: vLLM prefers it if there is a `consolidated*.safetensors`.

    (vLLM 0.33.0, vllm/transformers_utils/repo_utils.py `is_mistral_model_repo`.)
    """
    consolidated = fnmatch.filter(source.names(), "consolidated*.safetensors")
    if not consolidated or not source.has(_MISTRAL_FILE):
        return None
    return JsonText.parse(_MISTRAL_FILE, source.read(_MISTRAL_FILE))


def load_checkpoint(source: Source, name: str, listener: Listener = SILENT) -> Checkpoint:
    """Read the tensors' headers and the metadata.

    Raises:
        CkptfixError: no config, broken JSON, bad headers, or nothing quantized.
    """
    documents = {
        file: JsonText.parse(file, source.read(file))
        for file in registry.METADATA_FILES
        if source.has(file)
    }
    if documents.keys().isdisjoint(registry.READABLE_ALONE):
        raise CkptfixError(
            f"{source.where}: found neither {' nor '.join(registry.READABLE_ALONE)}",
            advice="name a Hugging Face checkpoint",
        )
    config = ModelConfig()
    if CONFIG_FILE in documents:
        config = parse_model_config(documents[CONFIG_FILE])
    table = read_tensors(source, listener)
    checkpoint = Checkpoint(name, config, documents, table, mistral=_mistral(source))
    small = checkpoint.folded
    if not small.metadata and not any(f.is_quantized for f in small.formats.values()):
        raise CkptfixError(
            f"{source.where}: not a quantized checkpoint: no quantization metadata and no scale "
            "tensors",
            advice=f"ckptfix works on checkpoints quantized by {registry.QUANTIZERS}",
        )
    return checkpoint
