"""Which patterns leave all experts of a bank alike, and that those which do are folded."""

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptfix.checkpoint.expert_patterns import may_tell_experts_apart

HEADS = ("model.layers.1.mlp", "model.layers.12.block_sparse_moe", "mtp.0.mlp")
TAILS = ("", ".gate_proj", ".down_proj.weight")
NUMBERS = (*range(13), 21, 99, 100, 112, 210)

BY_QUANTIZERS = (
    r".*model\.layers\.1\.mlp\.gate.*",
    r"-:.*model\.layers\.0\.mlp\.gate.*",
    r"re:.*mlp\.experts.*",
    r"re:.*mlp.gate$",
    r"re:.*self_attn\.(q|k|v)_proj$",
    r"re:.*experts\.\d+\.gate_proj",
    "model.layers.10*",
    "*mlp.gate*",
    "lm_head",
)
"""As AutoRound, GPTQModel, llm-compressor and ModelOpt write them."""


def readings(pattern: str, name: str) -> tuple[bool, ...]:
    """Whether it matches, in every way in which some tool reads it."""
    plain = re.sub(r"^(?:re:|[-+]:)+", "", pattern)
    try:
        found = re.compile(plain)
        as_regex = tuple(bool(f(name)) for f in (found.search, found.match, found.fullmatch))
    except re.error:
        as_regex = (False, False, False)
    return (*as_regex, fnmatchcase(name, pattern), pattern in name, name.startswith(pattern))


def tells_apart(pattern: str) -> bool:
    """Whether it matches some expert of a bank and not another, in any reading."""
    return any(
        len({readings(pattern, f"{head}.experts.{number}{tail}") for number in NUMBERS}) > 1
        for head in HEADS
        for tail in TAILS
    )


@pytest.mark.parametrize("pattern", BY_QUANTIZERS)
def test_patterns_for_routers_and_whole_banks_leave_experts_alike(pattern: str) -> None:
    assert not tells_apart(pattern)
    assert not may_tell_experts_apart(pattern)


PIECES = (".*", "*", ".", r"\.", r"\d", r"\d+", ".+", "1", "12", "0", "(", ")", "|", "$", "^")
WORDS = ("experts", "s", "mlp", "gate", "layers", "_proj", "-:", "re:", "?", "[01]", "{2}")


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from((*PIECES, *WORDS)), max_size=8))
def test_a_pattern_that_tells_experts_apart_is_never_taken_for_harmless(parts: list[str]) -> None:
    pattern = "".join(parts)
    if tells_apart(pattern):
        assert may_tell_experts_apart(pattern), pattern
