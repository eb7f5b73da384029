"""The corpus, and a few hundred new inputs; `make fuzz` runs for as long as you like."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.executing import execute
from tests.fuzz.targets import TARGETS, corpus

SEEDS = [(name, seed) for name in TARGETS for seed in corpus(name)]


@pytest.mark.parametrize(("name", "seed"), SEEDS, ids=map("/".join, SEEDS))
def test_the_corpus(tmp_path: Path, name: str, seed: str) -> None:
    commands = TARGETS[name].commands
    for command in (commands[0], commands[-1]):
        execute(tmp_path, name, corpus(name)[seed], command)


@pytest.mark.parametrize("name", TARGETS)
def test_new_inputs(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(target.inputs(name), st.sampled_from(target.commands))
    def one(data: bytes, command: tuple[str, ...]) -> None:
        execute(tmp_path, name, data, command)

    one()


@pytest.mark.parametrize("name", TARGETS)
def test_input_that_is_not_hostile_is_understood(tmp_path: Path, name: str) -> None:
    if name not in {"journal", "undo"}:
        assert execute(tmp_path, name, TARGETS[name].good, TARGETS[name].commands[0]).code in (0, 1)
