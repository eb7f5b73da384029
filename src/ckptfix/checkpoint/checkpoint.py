"""A checkpoint: its tensors and its metadata."""

from collections.abc import Hashable, Mapping, Set
from functools import cached_property
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint import mistral
from ckptfix.checkpoint.dialects import registry
from ckptfix.checkpoint.dialects.interface import Dialect
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    PARAMS_FILE,
    MetadataFile,
    config_in,
    named_quantizer,
    quantization_root,
    value_at,
)
from ckptfix.checkpoint.expert_banks import Banks, expert_numbers
from ckptfix.checkpoint.fold import Fold, fold_banks
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.index_names import table_of_names
from ckptfix.checkpoint.metadata_files import Unread, read_metadata
from ckptfix.checkpoint.model_config import ModelConfig, parse_model_config
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.other_folders import require_weights
from ckptfix.checkpoint.roles import KV_SCALES
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.checkpoint.shard_index import SHARDS, ShardNames
from ckptfix.checkpoint.source import Source
from ckptfix.checkpoint.table_reading import read_consolidated, read_tensors
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.checkpoint.tied_head import TiedHead
from ckptfix.errors import CkptfixError, MissingShardsError, UnsupportedError
from ckptfix.jsontext.text import JsonText
from ckptfix.progress import SILENT, Listener

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
    made_config: Mapping[str, Any] | None = None
    """params.json in the keys of config.json, if this is Mistral's own format."""
    in_mistral: "Checkpoint | None" = None
    """The same model in Mistral's own format, where the files hold it in both."""
    consolidated: TensorTable | None = None
    """The tensors of `consolidated*.safetensors`, where config.json is all that describes them and
    they differ from those of the table."""
    shard_below: str = ""
    """A shard file of Mistral's own format in one of its folders, where it has none itself."""
    where: str = ""
    """Where its files are, as their source spells it."""
    tied_head: TiedHead | None = None
    """None if config.json does not tie the output head to the embeddings."""

    unread: tuple[Unread, ...] = ()
    """Metadata files that hold something else than a JSON object, and that no runtime opens."""

    @property
    def is_mistral(self) -> bool:
        """True in Mistral's own format, whose config is params.json."""
        return self.made_config is not None

    @property
    def config_values(self) -> Mapping[str, Any] | None:
        """config.json, or what runtimes make of params.json; None without either."""
        if self.made_config is not None:
            return self.made_config
        document = self.documents.get(CONFIG_FILE)
        return document.value if document is not None else None

    @cached_property
    def other(self) -> "Checkpoint | None":
        """Mistral's own format or shard files, which a release may read instead; None without."""
        if self.consolidated is None:
            return self.in_mistral
        return replace(
            self,
            table=self.consolidated,
            consolidated=None,
            tied_head=self.tied_head and TiedHead(self.tied_head.source, self.consolidated),
        )

    @cached_property
    def metadata(self) -> tuple[MetadataFile, ...]:
        """The metadata of each file."""
        return registry.parse_metadata(self.documents)

    @cached_property
    def dialect(self) -> Dialect:
        """The dialect of the metadata; the likeliest one without metadata."""
        return registry.dialect_of(self.documents)

    @cached_property
    def folded(self) -> "Checkpoint":
        """With identical experts folded into the first of each bank; itself if there are none.

        A finding here represents one for each expert of the whole: see `fold_banks`.
        """
        fold = fold_banks(self.table, self.documents)
        if fold is None or self.consolidated is not None:  # whose experts may be others
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
        config = config_in(self.documents)
        root = quantization_root(config) if config else None
        named = named_quantizer(value_at(config.value, root)) if config and root else None
        if config is None or named is None or any(m.file == config.file for m in self.metadata):
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
    is_mistral = mistral.is_stored_in(source)
    if is_mistral and not source.has(CONFIG_FILE):
        checkpoint = _load_mistral(source, name, listener)
    elif any(map(source.has, registry.READABLE_ALONE)):
        checkpoint = _load(source, name, listener)
        if is_mistral:
            checkpoint = replace(checkpoint, in_mistral=_load_mistral(source, name, listener))
        else:
            others = read_consolidated(source, checkpoint.table, listener)
            below = mistral.shard_below(source)
            checkpoint = replace(checkpoint, consolidated=others, shard_below=below)
    else:
        raise UnsupportedError(
            f"{source.where}: found neither {' nor '.join(registry.READABLE_ALONE)}, nor "
            f"{PARAMS_FILE} with {mistral.OWN_SINGLE_FILE}",
            advice="name the folder of a checkpoint",
        )
    if quantized and not any(map(_is_quantized, (checkpoint, checkpoint.in_mistral))):
        raise UnsupportedError(
            f"{source.where}: not a quantized checkpoint: no quantization metadata and no scale "
            "tensors",
            advice=f"ckptfix works on checkpoints quantized by {registry.QUANTIZERS}",
        )
    return checkpoint


def _load(source: Source, name: str, listener: Listener) -> Checkpoint:
    """As transformers stores it."""
    tensors = _tensors_or_error(source, listener, SHARDS)
    documents, unread = read_metadata(source, registry.METADATA_FILES)
    config = ModelConfig(is_missing=True)
    if CONFIG_FILE in documents:
        config = parse_model_config(documents[CONFIG_FILE].value)
    if isinstance(tensors, MissingShardsError):
        named = table_of_names(tensors.weight_map or {})
        tensors.without_tensors = Checkpoint(name, config, documents, named)
    if isinstance(tensors, CkptfixError):
        raise tensors
    return Checkpoint(
        name,
        config,
        documents,
        tensors,
        where=source.where,
        tied_head=TiedHead(source, tensors) if config.may_tie else None,
        unread=unread,
    )


def _load_mistral(source: Source, name: str, listener: Listener) -> Checkpoint:
    """In Mistral's own format; what params.json does not declare is taken from config.json."""
    tensors = _tensors_or_error(source, listener, mistral.OWN_SHARDS)
    documents, unread = read_metadata(source, (*registry.METADATA_FILES, PARAMS_FILE))
    defaults = documents[CONFIG_FILE].value if CONFIG_FILE in documents else {}
    if config_in(documents) is not documents.get(CONFIG_FILE):
        documents.pop(CONFIG_FILE, None)  # params.json has all that is looked up there
    if isinstance(tensors, CkptfixError):
        raise tensors
    values = mistral.config_made_of(documents[PARAMS_FILE].value, defaults)
    return Checkpoint(
        name,
        parse_model_config(values),
        documents,
        tensors,
        made_config=values,
        where=source.where,
        unread=unread,
    )


def _tensors_or_error(
    source: Source, listener: Listener, shards: ShardNames
) -> TensorTable | CkptfixError:
    """The tensors, or what is wrong with them: what is wrong with the metadata is said first.

    They are read first, because the index, which is as large, is gone when the metadata is decoded.
    """
    try:
        return read_tensors(source, listener, shards=shards)
    except CkptfixError as error:
        return error


def _is_quantized(checkpoint: Checkpoint | None) -> bool:
    """True with metadata, a quantized weight, or scales for a quantized KV cache."""
    if checkpoint is None:
        return False
    small = checkpoint.folded
    return (
        bool(small.metadata)
        or any(stored.is_quantized for stored in small.formats.values())
        or any(not module.tensors.keys().isdisjoint(KV_SCALES) for module in small.modules.values())
    )
