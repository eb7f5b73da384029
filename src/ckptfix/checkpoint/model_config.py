"""config.json without its quantization -> architectures, tied embeddings and numbers of layers."""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, field

from ckptfix.jsontext.text import Path, pointer

_ARCHITECTURES: Final = ("architectures",)


class DraftLayers(Struct, frozen=True):
    """The number of draft layers (MTP, NextN) that config.json declares."""

    number: int
    pointer: str
    """JSON pointer of the number."""


class NotAName(Struct, frozen=True):
    """Something else in `architectures` than names of classes."""

    value: Any
    at: Path
    """Path of it in config.json: the whole list, or an item."""

    @property
    def is_first(self) -> bool:
        """The list is none, or its first item is no name."""
        return self.at[1:] in ((), (0,))


class ModelConfig(Struct, frozen=True):
    """The part of config.json that is not about quantization."""

    is_missing: bool = False
    """There is no config.json."""
    architectures: tuple[str, ...] = ()
    not_a_name: NotAName | None = None
    """The first thing in `architectures` that is no name; what counts as false is an empty list."""
    nested: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(prefix of the language model in the wrapper, its architectures)."""
    tied_embeddings: bool | None = None
    """`tie_word_embeddings`, taken from the language model if it has its own config."""
    tied_by_wrapper: bool | None = None
    """`tie_word_embeddings` at the top of config.json."""
    num_hidden_layers: int | None = None
    """Number of layers of the language model; layers from this number on are draft layers."""
    draft_layers: DraftLayers | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values of the language model's config, with those of the wrapper's as a fallback."""

    @property
    def may_tie(self) -> bool:
        """True if config.json ties the embeddings, in either place."""
        return self.tied_embeddings is True or self.tied_by_wrapper is True

    def number(self, *keys: str) -> int | None:
        """The first whole number under any of these keys; true is 1, as for the classes."""
        found = (self.values.get(key) for key in keys)
        return next((int(n) for n in found if isinstance(n, int)), None)


NESTED_CONFIGS: Final = (
    ("llm_config", "language_model"),
    ("language_config", "language_model"),
    ("text_config", "language_model"),
)
"""Key of a language model's config inside a wrapper's -> its attribute in the wrapper."""
THINKER: Final = "thinker_config"
"""Of Qwen's Omni models: a wrapper's config inside that of all parts."""


def parse_model_config(value: Mapping[str, Any]) -> ModelConfig:
    """Architectures and ties; tolerant, because every architecture has its own config.

    Args:
        value: the content of config.json.
    """
    nested = []
    tied = by_wrapper = value.get("tie_word_embeddings")
    places: list[tuple[Path, Mapping[str, Any]]] = [((), value)]
    for path, holder in wrappers(value):
        for key, prefix in NESTED_CONFIGS:
            inner = holder.get(key)
            if isinstance(inner, dict):
                if not path:
                    nested.append((prefix, _strings(inner.get("architectures"))))
                tied = inner.get("tie_word_embeddings", tied)
                places.insert(0, ((*path, key), inner))
    values: Mapping[str, Any] = ChainMap(*(dict(found) for _, found in places))
    return ModelConfig(
        architectures=_strings(value.get("architectures")),
        not_a_name=next(_not_names(value.get("architectures")), None),
        nested=tuple(nested),
        tied_embeddings=tied if isinstance(tied, bool) else None,
        tied_by_wrapper=by_wrapper if isinstance(by_wrapper, bool) else None,
        num_hidden_layers=next(_counts(places, ("num_hidden_layers",)), (None, ""))[0],
        draft_layers=next((DraftLayers(n, p) for n, p in _counts(places, DRAFT_KEYS)), None),
        values=dict(values),
    )


def wrappers(value: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """(Path, config) of what may hold a language model's."""
    yield (), value
    if isinstance(thinker := value.get(THINKER), dict):
        yield (THINKER,), thinker


DRAFT_KEYS: Final = (
    "num_nextn_predict_layers",
    "num_mtp_layers",
    "mtp_num_hidden_layers",
    "num_mtp_modules",
)
"""vLLM 0.33.0, vllm/config/speculative.py, configs of MiniMax, and the alias of
transformers 5.19."""


def _counts(
    places: Iterable[tuple[Path, Mapping[str, Any]]], keys: Iterable[str]
) -> Iterator[tuple[int, str]]:
    """Whole numbers under these keys, with their pointers."""
    for path, value in places:
        for key in keys:
            number = value.get(key)
            if isinstance(number, int) and not isinstance(number, bool):
                yield number, pointer((*path, key))


def _not_names(value: Any) -> Iterator[NotAName]:  # noqa: ANN401 - any JSON
    if value and not isinstance(value, list):
        yield NotAName(value, _ARCHITECTURES)
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, str):
            yield NotAName(item, (*_ARCHITECTURES, number))


def _strings(value: object) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
