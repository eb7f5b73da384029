"""Tables of what classes build or refuse by config.json: for which configs each says something."""

from typing import Any

import pytest

from ckptfix.runtimes.by_config import by_config
from ckptfix.runtimes.by_config_tables import ByConfigFile, StopsSpec

SPEC = StopsSpec(
    source="made up",
    architectures=("Mine",),
    versions="",
    given={"shares": True},
    unless={"shared": 0},
    present=("heads",),
    absent=("width",),
)


@pytest.mark.parametrize(
    ("config", "holds"),
    [
        ({"shares": True, "heads": 4}, True),
        ({"shares": True, "heads": 4, "shared": 1, "width": None}, True),
        ({"heads": 4}, False),
        ({"shares": 1, "heads": 4}, False),
        ({"shares": True, "heads": 4, "shared": 0}, False),
        ({"shares": True, "heads": None}, False),
        ({"shares": True, "heads": 4, "width": 8}, False),
    ],
)
def test_a_table_says_something_where_all_of_its_conditions_are_met(
    config: dict[str, Any], holds: bool
) -> None:
    assert SPEC.holds(config) is holds


def test_nothing_is_written_of_most_classes_and_of_older_releases() -> None:
    assert by_config("vllm", "0.33.0", "FalconForCausalLM") is not None
    of_every_class = by_config("vllm", "0.33.0", "TransformersForCausalLM")
    assert of_every_class is not None
    assert all(spec.architectures == ("*",) for spec in of_every_class.tables.stops)
    assert of_every_class.tables == ByConfigFile(stops=of_every_class.tables.stops)
    assert by_config("vllm", "0.32.0", "FalconForCausalLM") is None
