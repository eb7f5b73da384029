"""A checkpoint as both sides describe it."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ckptfix.checkpoint.expert_banks import expert_numbers
from ckptfix.checkpoint.fold import fold_banks
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.metadata import CONFIG_FILE, HF_QUANT_FILE, QUANT_CFG_FILE, MetadataFile
from ckptfix.checkpoint.metadata_files import LeftOut, parse_metadata
from ckptfix.checkpoint.model_config import ModelConfig, parse_model_config
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.checkpoint.source import Source
from ckptfix.checkpoint.tensor_table import TensorTable, read_tensors
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.text import JsonText
from ckptfix.progress import SILENT, Listener

METADATA_FILES = (CONFIG_FILE, HF_QUANT_FILE, QUANT_CFG_FILE)
_MISTRAL_FILE = "params.json"
_EMBEDDING_WORDS = ("embed", "wte", "wpe")
"""Parts of the names of tables, which no runtime builds as a linear layer."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that JSON files and safetensors headers say; no weights."""

    name: str
    """How the user named it."""
    config: ModelConfig
    documents: Mapping[str, JsonText]
    """The metadata files, as text."""
    table: TensorTable
    left_out: LeftOut = field(default_factory=dict)
    """Names in the metadata that `metadata` leaves out."""
    whole: "Checkpoint | None" = None
    """Of a folded checkpoint, the one that it was made from."""
    mistral: JsonText | None = None
    """params.json, where the weights are there in Mistral's own files too."""

    @cached_property
    def metadata(self) -> tuple[MetadataFile, ...]:
        """What each file says.

        Raises:
            CkptfixError: as `parse_metadata`.
        """
        return parse_metadata(self.documents, self.left_out)

    @cached_property
    def folded(self) -> "Checkpoint":
        """The same with like experts folded into the first of each bank; itself if there are none.

        Whatever does not mention an expert holds for both: see `fold_banks`.
        """
        fold = fold_banks(self.table, self.documents)
        return (
            self
            if fold is None
            else replace(self, table=fold.table, left_out=fold.left_out, whole=self)
        )

    @cached_property
    def expert_numbers(self) -> dict[str, frozenset[str]]:
        """What comes before `.experts.` -> the numbers of all experts that are stored there."""
        if self.whole is not None:
            return self.whole.expert_numbers
        names = [name for header in self.table.headers.values() for name in header]
        return expert_numbers(names)

    @property
    def modules(self) -> dict[str, Module]:
        """Checkpoint name -> module; made once for all metadata beside the same tensors."""
        return self.table.modules

    @property
    def formats(self) -> dict[str, StoredFormat]:
        """Checkpoint name -> what the tensors prove; made once, like the modules."""
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
    """Mistral's own config: vLLM prefers it where `consolidated*.safetensors` is there.

    (vLLM 0.33.0, vllm/transformers_utils/repo_utils.py `is_mistral_model_repo`.)
    """
    consolidated = fnmatch.filter(source.names(), "consolidated*.safetensors")
    if not consolidated or not source.has(_MISTRAL_FILE):
        return None
    return JsonText.parse(_MISTRAL_FILE, source.read(_MISTRAL_FILE))


def load_checkpoint(source: Source, name: str, listener: Listener = SILENT) -> Checkpoint:
    """Read both sides.

    Raises:
        CkptfixError: no config, broken JSON, bad headers, or nothing quantized.
    """
    documents = {
        file: JsonText.parse(file, source.read(file)) for file in METADATA_FILES if source.has(file)
    }
    if CONFIG_FILE not in documents and HF_QUANT_FILE not in documents:
        raise CkptfixError(
            f"{source.where}: neither config.json nor hf_quant_config.json",
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
            f"{source.where}: not quantized, no quantization metadata and no scale tensors",
            advice="ckptfix works on checkpoints quantized by ModelOpt",
        )
    return checkpoint
