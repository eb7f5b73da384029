"""The interface of a quantizer's dialect.

A file of this folder is a dialect: it has a `DIALECT`, which the registry finds. Reading it,
inspecting, checking, folding experts and renaming follow from that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Literal, Protocol

from msgspec import Struct

from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.checkpoint.formats.layers import StoredLayer, StoredLayers
from ckptfix.jsontext.text import JsonText, Path

Documents = Mapping[str, JsonText]
"""The metadata files that exist, by name."""


class Claim(IntEnum):
    """How surely the files of a checkpoint are in a dialect; the highest claim wins."""

    NONE = 0
    UNREAD = 1
    """config.json names a quantizer, whose metadata nobody reads here."""
    LIKELY = 2
    """Nothing names another quantizer."""
    NAMED = 3
    """config.json names the quantizer."""
    OVERRIDES = 4
    """The quantizer's own file decides, even if config.json keeps fields of another one."""


class OwnFile(Struct, frozen=True):
    """A metadata file that a quantizer writes next to config.json."""

    name: str
    is_enough: bool = False
    """It can be read without a config.json."""


class NameList(Struct, frozen=True):
    """A list of names, or an object whose keys are names."""

    file: str
    path: Path
    names: Mapping[str, Any] | list[Any]
    are_patterns: bool = False
    """The keys of an object are patterns, like those in a list."""


class Role(Struct, frozen=True):
    """The role of one tensor in its module."""

    name: str
    holds: Literal["scalar", "inputs", ""] = ""
    """One F32 value for the module, or a value for each input column; empty: the format decides."""
    is_scale: bool = False
    """Its values are factors, so that their magnitude can be judged."""
    optional: bool = False
    """A companion that only some formats have; it distinguishes them."""
    of_kv_cache: bool = False
    """It does not depend on the weight."""
    by_row: bool = False
    """Split with the rows of the weight if it has more than one value."""
    fused: bool = False
    """Llama 4 and GPT-OSS keep 3-D expert parameters: `experts.gate_up_proj_weight_scale`."""
    is_weight: bool = False
    """It holds the codes of a weight, or the weight itself."""
    also: str = ""
    """Another spelling."""
    of_models: bool = False
    """Model classes have parameters of this name that scale no weight; those are 1-D."""


class Stored(Protocol):
    """Stored layers, and the modules that names in the metadata match."""

    @property
    def layers(self) -> StoredLayers:
        """Which module is quantized how."""

    @property
    def kv_cache_quant_algo(self) -> str | None:
        """As a file declares; otherwise FP8 if the tensors include scales of a KV cache."""

    @property
    def quantized(self) -> tuple[str, ...]:
        """Every quantized module, also those whose tensors fit no format; checkpoint names."""

    def modules_of(self, name: str) -> tuple[str, ...]:
        """The modules that an entry or target matches, in either spelling."""

    def covered_by(self, pattern: str) -> tuple[str, ...]:
        """The modules that an exclude pattern matches."""

    def is_sound(self, pattern: str) -> bool:
        """True for an exclude pattern that matches modules, none of which is quantized."""

    def fits(self, module: str, quant_algo: str | None, group_size: int | None) -> bool:
        """True if the tensors of a module fit what an entry declares."""


class Writer(Protocol):
    """Makes metadata from the tensors: `rewrite(from_tensors=True)`."""

    def new_config(self, stored: Stored) -> dict[str, object]:
        """A `quantization_config` for a config.json that has none."""

    def rebuild(
        self, metadata: MetadataFile, value: Mapping[str, object], stored: Stored
    ) -> Changes:
        """The changes that make one file match the tensors.

        Args:
            metadata: the current content of the file.
            value: the quantization object at `metadata.root`.
            stored: the layers as stored.
        """


class Wanted(Struct, frozen=True):
    """What the metadata must declare for one module."""

    names: tuple[str, ...]
    """Every name under which a reader looks it up."""
    layer: StoredLayer | None
    """None: it is unquantized."""


class SpellingTask(Struct, frozen=True):
    """The names that one file must contain."""

    metadata: MetadataFile
    """The current content of the file."""
    value: Mapping[str, Any]
    """The quantization object at `metadata.root`."""
    wanted: Sequence[Wanted]
    """Modules for which names are added."""
    dropped: Sequence[Statement]
    """Statements to remove."""


class Speller(Struct, frozen=True):
    """Adds names in the spelling that a quantizer's own reading matches; for `rewrite`."""

    add: Callable[[Changes, SpellingTask], None]
    """Adds what is wanted to the changes, except for what the dialect cannot express: the caller
    reads the result again."""
    moves: Callable[[Documents], Changes | None] = lambda documents: None  # noqa: ARG005 - the interface
    """The changes to config.json after which releases take its object for this quantizer's, before
    any name is added; None if it is where they look."""

    def changes(self, task: SpellingTask) -> Changes:
        """The changes after which one file declares what is wanted."""
        changes = Changes(removals={statement.path for statement in task.dropped})
        self.add(changes, task)
        return changes


class Reading(Struct, frozen=True):
    """How a quantizer reads the names in its own metadata."""

    decides: Callable[[MetadataFile, str], Statement | MetadataFile | None]
    """(metadata file, module name) -> what decides for the module: a statement, the whole file, or
    None, which leaves it unquantized."""
    matches: Callable[[Statement, str], bool]
    """(statement, module name) -> whether the name in the statement matches the module, regardless
    of other statements."""
    is_expression: Callable[[Statement], bool] = lambda statement: False  # noqa: ARG005 - the interface
    """True for an expression or a shell pattern; false for a name, or a part of one."""
    alternatives: frozenset[str] = frozenset()
    """Fields whose names are spellings of the same modules: one that matches is enough."""


class Dialect(Protocol):
    """How one quantizer records which module is quantized how."""

    @property
    def quantizer(self) -> str:
        """For people: `ModelOpt`."""

    @property
    def own_files(self) -> tuple[OwnFile, ...]:
        """The metadata files next to config.json."""

    @property
    def name_fields(self) -> tuple[str, ...]:
        """The keys of lists of names, and of objects whose keys are names."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """Tensors of a module that no other quantizer stores; empty for most."""

    @property
    def writer(self) -> Writer | None:
        """None where ckptfix cannot make this dialect from tensors."""

    @property
    def speller(self) -> Speller | None:
        """None where names are plain, or no runtime reads them."""

    @property
    def reading(self) -> Reading | None:
        """What the names mean; None: modules, what contains them, or shell patterns.

        If it is set, only it knows what a name matches, and rules about names use it.
        """

    def claim(self, documents: Documents) -> Claim:
        """How surely the files are in this dialect."""

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        """The metadata of each file, config.json first; called on files that it claims."""

    def name_lists(self, documents: Documents) -> Iterable[NameList]:
        """Wherever `read` finds names, without reading them: there may be a million."""
