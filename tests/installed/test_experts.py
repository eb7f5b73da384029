"""How many experts of a bank the script of `--runtime installed` calls written."""

import pytest

pytest.importorskip("torch")

from runtime_probe.asking import whole_experts

UP, GATE, DOWN = (0, 32), (32, 32), (64, 32)
EACH = 128


def of(expert: int, *members: tuple[int, int]) -> list[tuple[int, int]]:
    return [(expert * EACH + offset, size) for offset, size in members]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([*of(0, UP, GATE, DOWN), *of(1, UP, GATE, DOWN)], 2, id="all, with padding"),
        pytest.param([*of(0, UP, GATE, DOWN), *of(1, UP, GATE)], 1, id="a member is missing"),
        pytest.param([*of(0, UP, GATE, DOWN)], 1, id="an expert is missing"),
        pytest.param([*of(0, UP, GATE), *of(1, UP, UP)], 1, id="a member is written twice"),
        pytest.param([(0, 2 * EACH)], 2, id="the bank is one tensor"),
    ],
)
def test_an_expert_counts_if_it_is_written_as_far_as_the_others(
    parts: list[tuple[int, int]], expected: int
) -> None:
    assert whole_experts(parts, EACH, 2) == expected
