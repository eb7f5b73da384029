"""A checkpoint: its tensors and its metadata."""

import fnmatch
from collections.abc import Hashable, Mapping, Set
from functools import cached_property
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.dialects import registry
from ckptfix.checkpoint.dialects.interface import Dialect
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    MetadataFile,
    config_root,
    named_quantizer,
    value_at,
)
from ckptfix.checkpoint.document import read_document, read_documents
from ckptfix.checkpoint.expert_banks import Banks, expert_numbers
from ckptfix.checkpoint.fold import Fold, fold_banks
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.index_names import table_of_names
from ckptfix.checkpoint.model_config import ModelConfig, parse_model_config
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.other_folders import require_weights
from ckptfix.checkpoint.roles import KV_SCALES
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.checkpoint.source import Source
from ckptfix.checkpoint.tensor_table import TensorTable, read_tensors
from ckptfix.checkpoint.tied_head import TiedHead
from ckptfix.errors import CkptfixError, MissingShardsError, UnsupportedError
from ckptfix.jsontext.text import JsonText
from ckptfix.progress import SILENT, Listener

_MISTRAL_FILE = "params.json"
_EMBEDDING_WORDS = ("embed", "wte", "wpe")
"""Parts of names of embedding tables, which no runtime builds as a linear layer."""


class Checkpoint(Struct, frozen=True, dict=True):
    """Everything in the JSON files and safetensors headers; no weights."""

    name: str
    """The checkpoint, as the user named it."""
    config: ModelConfig
    documents: Mapping[str, JsonText]
    """The metadata files, as text."""
    table: TensorTable
    fold: Fold | None = None
    """How a folded checkpoint was folded."""
    whole: "Checkpoint | None" = None
    """The checkpoint that a folded one was made from."""
    mistral: JsonText | None = None
    """params.json, if the weights are also stored in Mistral's own files."""
    tied_head: TiedHead | None = None
    """None if config.json does not tie the output head to the embeddings."""

    @cached_property
    def metadata(self) -> tuple[MetadataFile, ...]:
        """The metadata of each file.

        Raises:
            CkptfixError: as `registry.parse_metadata`.
        """
        return registry.parse_metadata(self.documents)

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

        A finding here represents one for each expert of the whole: see `fold_banks`.
        """
        fold = fold_banks(self.table, self.documents)
        if fold is None:
            return self
        return replace(self, table=fold.table, documents=fold.documents, fold=fold, whole=self)

    @property
    def banks(self) -> Banks | None:
        """The banks that were folded; None if none was."""
        return self.fold.banks if self.fold else None

    @cached_property
    def expert_numbers(self) -> dict[str, frozenset[str]]:
        """Prefix before `.experts.` -> the numbers of all experts that are stored there."""
        numbers = expert_numbers(list(chain.from_iterable(self.table.headers.values())))
        if self.banks is None:
            return numbers
        every = frozenset(map(str, range(self.banks.size)))
        return {head: every if head in self.banks.heads else n for head, n in numbers.items()}

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """A value computed once from this checkpoint, under the caller's key."""
        return {}

    @cached_property
    def modules(self) -> dict[str, Module]:
        """Checkpoint name -> module; computed once for all metadata of the same tensors."""
        return self.table.modules

    @cached_property
    def formats(self) -> dict[str, StoredFormat]:
        """Checkpoint name -> stored format; computed once, like the modules."""
        return self.table.formats

    def foreign(self, stored: StoredFormat) -> str:
        """The quantizer of a format that ModelOpt's metadata cannot describe; empty if it can.

        The metadata of other quantizers can describe some of each other's formats.
        """
        return stored.quantizer if self.dialect.writer is not None else ""

    @cached_property
    def left_alone(self) -> Set[str]:
        """Modules in the format that the model was published in: the quantizer does not name them.

        ModelOpt's exports of DeepSeek V4 quantize the experts, keep `fp8` in config.json for the
        rest, and list the experts in hf_quant_config.json.
        """
        config = self.documents.get(CONFIG_FILE)
        root = config_root(config.value) if config else None
        named = named_quantizer(value_at(config.value, root)) if config and root else None
        if named is None or any(m.file == CONFIG_FILE for m in self.metadata):
            return frozenset()
        return frozenset(name for name, stored in self.formats.items() if stored.is_native)

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
        """The exporter, from the first file that names it."""
        return next((m.producer for m in self.metadata if m.producer), "")


def _mistral(source: Source) -> JsonText | None:
    """Mistral's own config: vLLM prefers it if there is a `consolidated*.safetensors`.

    (vLLM 0.33.0, vllm/transformers_utils/repo_utils.py `is_mistral_model_repo`.)
    """
    consolidated = fnmatch.filter(source.names(), "consolidated*.safetensors")
    if not consolidated or not source.has(_MISTRAL_FILE):
        return None
    return read_document(source, _MISTRAL_FILE)


def load_checkpoint(
    source: Source, name: str, listener: Listener = SILENT, *, quantized: bool = True
) -> Checkpoint:
    """Read the tensors' headers and the metadata.

    Args:
        source: where the files are.
        name: for people.
        listener: called for each header.
        quantized: refuse a checkpoint in which nothing is quantized.

    Raises:
        UnsupportedError: it is something else, or nothing is quantized.
        CkptfixError: broken JSON or bad headers.
    """
    require_weights(source)
    if not any(map(source.has, registry.READABLE_ALONE)):
        raise UnsupportedError(
            f"{source.where}: found neither {' nor '.join(registry.READABLE_ALONE)}",
            advice="name a Hugging Face checkpoint",
        )
    tensors = _tensors_or_error(source, listener)
    documents = read_documents(source, registry.METADATA_FILES)
    config = ModelConfig()
    if CONFIG_FILE in documents:
        config = parse_model_config(documents[CONFIG_FILE])
    if isinstance(tensors, MissingShardsError):
        named = table_of_names(tensors.weight_map or {})
        tensors.without_tensors = Checkpoint(name, config, documents, named)
    if isinstance(tensors, CkptfixError):
        raise tensors
    checkpoint = Checkpoint(
        name,
        config,
        documents,
        tensors,
        mistral=_mistral(source),
        tied_head=TiedHead(source, tensors) if config.may_tie else None,
    )
    small = checkpoint.folded
    if quantized and not small.metadata and not _stores_quantization(small):
        raise UnsupportedError(
            f"{source.where}: not a quantized checkpoint: no quantization metadata and no scale "
            "tensors",
            advice=f"ckptfix works on checkpoints quantized by {registry.QUANTIZERS}",
        )
    return checkpoint


def _tensors_or_error(source: Source, listener: Listener) -> TensorTable | CkptfixError:
    """The tensors, or what is wrong with them: what is wrong with the metadata is said first.

    They are read first, because the index, which is as large, is gone when the metadata is decoded.
    """
    try:
        return read_tensors(source, listener)
    except CkptfixError as error:
        return error


def _stores_quantization(checkpoint: Checkpoint) -> bool:
    """True with a quantized weight, or scales for a quantized KV cache."""
    return any(stored.is_quantized for stored in checkpoint.formats.values()) or any(
        not module.tensors.keys().isdisjoint(KV_SCALES) for module in checkpoint.modules.values()
    )
