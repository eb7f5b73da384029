"""How a release looks names up: one row of a runtime's table."""

from typing import Literal

from msgspec import Struct

RuleKindName = Literal["regex", "substr", "prefix", "suffix"]


class MappingRules(Struct, frozen=True):
    """How a release applies the name mappers of its model classes to the metadata."""

    kinds: tuple[RuleKindName, ...]
    """Kinds of mapper rules that reach the metadata, in the order in which they apply."""
    single_match: bool = False
    """True: only the longest matching key of each kind applies. False: every rule, in order."""
    none_rules_delete: bool = False
    """True: a None rule deletes the entry or pattern from the metadata. False: it is ignored."""
    splits_wildcards: bool = False
    """`X*` becomes `X` and `X.*` before mapping."""
    adds_unwrapped: bool = False
    """A pattern below `language_model` is followed by a copy without that part."""


class LookupRules(Struct, frozen=True):
    """How a release, and every later one up to the next row, looks names up."""

    since: str
    """The first release that was read and behaves this way."""
    mapping: MappingRules
    dispatched: frozenset[str]
    """Values of quant_algo in quantized_layers that get a quantized linear layer; others do not."""
    dispatched_experts: frozenset[str]
    """The same for expert banks."""
    refuses_experts: frozenset[str] = frozenset()
    """Values of quant_algo for the whole checkpoint with which it stops at an expert bank, even an
    excluded one."""
    inner_classes_count: bool = False
    """Mappers and packed tables of inner model classes apply too, outermost first."""
    candidates: tuple[tuple[str, str], ...] = ()
    """(prefix looked up, prefix tried instead), after the name itself; the first match wins."""
    head_candidate: bool = False
    """`x.lm_head` is also looked up as `lm_head`."""
    experts_take_siblings: bool = False
    """`x.experts` without a key takes the first key below `x`."""
    builtin_packed: bool = False
    """qkv_proj and gate_up_proj are looked up by their members even without a packed table."""
    quantizes_heads: bool = False
    """An output head can be quantized; before, it is always built unquantized."""
    bare_parts: tuple[str, ...] = ()
    """Under a uniform quant_algo, a module with one of these in its name is left unquantized."""


VL_SWAP = (
    ("language_model.model.", "model.language_model."),
    ("model.language_model.", "language_model.model."),
)
"""The two places of the language model in a vision-language model; each is tried instead of the
other."""
