"""What the learner built with changed configs, as rows of sizes."""

from typing import Any

import pytest

from place_learner import size_rows
from place_learner.size_expressions import Observation, expression

STRICT = ["stops", "stops", "stops"]


def result(
    sizes: dict[str, list[int]],
    runs: list[dict[str, Any]],
    config: dict[str, Any],
    refuses: dict[str, list[list[str]]] | None = None,
) -> dict[str, Any]:
    return {
        "config": config,
        "base": {"shapes": {name: [shape] for name, shape in sizes.items()}},
        "refuses": refuses or {name: [STRICT] * len(shape) for name, shape in sizes.items()},
        "runs": [{"cut": [], **run} for run in runs],
    }


def run(change: dict[str, Any], **sizes: list[int]) -> dict[str, Any]:
    return {"change": change, "shapes": {name: [shape] for name, shape in sizes.items()}}


CONFIG = {"hidden": 12, "heads": 4, "inner": 24}
WIDER = run({"hidden": 24}, w=[48, 24])
HIGHER = run({"inner": 48}, w=[96, 12])


def test_a_row_has_an_expression_for_every_dimension_that_numbers_of_the_config_decide() -> None:
    (row,) = size_rows.rows(result({"w": [48, 12]}, [WIDER, HIGHER], CONFIG))
    assert row == {
        "sizes": ("2*inner", "hidden"),
        "names": ["w"],
        "larger": "ss",
        "smaller": "ss",
    }


@pytest.mark.parametrize(
    ("outcomes", "sizes", "larger", "smaller"),
    [
        ([["cut", "part", "cut"], STRICT], ("2*inner", "hidden"), "ws", "ws"),
        ([["takes", "stops", "takes"], STRICT], ("?", "hidden"), "-s", "ss"),
        ([["stops", "takes", "takes"], STRICT], ("?", "hidden"), "ss", "-s"),
        ([["cut", "takes", "cut"], STRICT], ("2*inner", "hidden"), "ws", "-s"),
    ],
)
def test_what_a_loader_takes_in_another_size_is_not_a_fault(
    outcomes: list[list[str]], sizes: tuple[str, ...], larger: str, smaller: str
) -> None:
    (row,) = size_rows.rows(
        result({"w": [48, 12]}, [WIDER, HIGHER], CONFIG, refuses={"w": outcomes})
    )
    assert (row["sizes"], row["larger"], row["smaller"]) == (sizes, larger, smaller)


def test_a_dimension_that_no_number_of_the_config_changes_is_not_known() -> None:
    (row,) = size_rows.rows(result({"w": [48, 12]}, [WIDER], CONFIG))
    assert row["sizes"] == ("?", "hidden")
    assert not size_rows.rows(result({"w": [48, 12]}, [], CONFIG))


@pytest.mark.parametrize(
    "more",
    [
        {**run({"heads": 8}, w=[48, 12]), "cut": ["w"]},
        run({"heads": 8}, other=[1]),
        {"change": {"heads": 8}, "shapes": {"w": [[48, 12], [48, 6]]}},
        run({"heads": 8}, w=[50, 12]),
    ],
    ids=["it is cut", "it is not there", "layers differ", "no expression fits"],
)
def test_what_does_not_follow_from_the_config_is_not_known(more: dict[str, Any]) -> None:
    rows = size_rows.rows(result({"w": [48, 12]}, [WIDER, HIGHER, more], CONFIG))
    assert [row["sizes"] for row in rows] in ([], [("?", "hidden")])


def test_an_expression_is_proved_by_configs_with_many_other_numbers() -> None:
    config = {**CONFIG, "kinds": 2, "groups": 3}
    many = {"hidden": 24, "heads": 8, "inner": 48}
    fits, differs = run(many, w=[96, 24]), run(many, w=[72, 24])
    for more, sizes in ((fits, ("2*inner", "hidden")), (differs, ("?", "hidden"))):
        (row,) = size_rows.rows(result({"w": [48, 12]}, [WIDER, HIGHER, more], config))
        assert row["sizes"] == sizes


def test_layers_of_several_kinds_have_several_sizes() -> None:
    def kinds(change: dict[str, Any], low: int, high: int, width: int) -> dict[str, Any]:
        several = {"w.0": [low, width], "w.1": [high, width], "w.2": [low, width]}
        shapes = {"w.#": [list(s) for s in sorted({(low, width), (high, width)})]}
        found = {"shapes": shapes, "several": {"w.#": several} if len(shapes["w.#"]) > 1 else {}}
        return {"change": change, "cut": [], **found}

    config = {"hidden": 12, "dim": 4, "global": 8}
    changes = ({"hidden": 24}, 4, 8, 24), ({"dim": 8}, 8, 8, 12), ({"global": 16}, 4, 16, 12)
    made = {
        "config": config,
        "base": kinds({}, 4, 8, 12),
        "refuses": {"w.#": [STRICT] * 2},
        "runs": [kinds(*change) for change in changes],
    }
    (row,) = size_rows.rows(made)
    assert (row["sizes"], row["others"]) == (("dim", "hidden"), (("global", "hidden"),))


def test_a_dimension_that_is_always_one_is_known() -> None:
    runs = [run({"hidden": 24}, w=[24, 1]), run({"inner": 48}, w=[12, 1])]
    (row,) = size_rows.rows(result({"w": [12, 1]}, runs, CONFIG))
    assert row["sizes"] == ("hidden", "1")


@pytest.mark.parametrize(
    ("fewer", "known"),
    [
        ({"shapes": {"w": [[48, 12]]}}, True),
        ({"shapes": {"w": [[36, 12]]}}, False),
        ({"error": "not built"}, False),
    ],
)
def test_a_number_in_an_expression_is_not_that_of_the_layers(
    fewer: dict[str, Any], known: bool
) -> None:
    runs = [run({"inner": 24}, w=[96, 12])]
    made = result({"w": [48, 12]}, runs, {"inner": 12, "hidden": 12}) | {"fewer": fewer}
    found = [row["sizes"] for row in size_rows.rows(made)]
    assert found == ([("4*inner", "?")] if known else [])


def test_another_value_that_changes_a_size_is_a_condition() -> None:
    config = {**CONFIG, "gated": True, "act": "silu", "rank": None}
    runs = [WIDER, HIGHER, run({"gated": False}, w=[24, 12]), run({"act": "gelu"}, w=[48, 12])]
    (row,) = size_rows.rows(result({"w": [48, 12]}, runs, config))
    assert row["given"] == {"gated": True}


@pytest.mark.parametrize("shapes", [{}, {"w": [[48, 12]]}, {"w": [[48, 12], [24, 12]]}])
def test_a_key_with_which_a_tensor_is_cut_is_a_condition(shapes: dict[str, Any]) -> None:
    runs = [WIDER, HIGHER, {"change": {"rank": 64}, "shapes": shapes, "cut": ["w"]}]
    (row,) = size_rows.rows(result({"w": [48, 12]}, runs, {**CONFIG, "rank": None}))
    assert row["given"] == {"rank": None}


def test_a_value_with_which_nothing_was_built_is_a_condition_of_all_rows() -> None:
    config = {"part": {"heads": 4, "act": "silu"}, "hidden": 12}
    failed = [
        {"change": {"part.heads": 8}, "error": "no"},
        {"change": {"part.act": "relu"}, "error": "no such activation"},
    ]
    made = result({"w": [48, 12]}, [*failed, WIDER], config)
    assert size_rows.conditions(made) == {"part.heads": 4}


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({(12, 4): 12, (24, 4): 24, (12, 6): 12}, "hidden"),
        ({(12, 4): 3, (24, 4): 6, (12, 6): 2}, "hidden/heads"),
        ({(12, 4): 6, (24, 4): 12, (12, 6): 6}, "hidden/2"),
        ({(12, 4): 144, (24, 4): 576, (12, 6): 144}, "hidden*hidden"),
        ({(12, 4): 18, (24, 4): 36, (12, 6): 16}, "2*hidden/heads+hidden"),
        ({(12, 4): 14, (24, 4): 26, (12, 6): 14}, "hidden+2"),
        ({(12, 4): 7, (24, 4): 23, (12, 6): 11}, ""),
    ],
)
def test_an_expression_holds_for_every_config(sizes: dict[tuple[int, int], int], text: str) -> None:
    observed = [
        Observation({"hidden": hidden, "heads": heads}, size)
        for (hidden, heads), size in sizes.items()
    ]
    found = expression(observed)
    assert sorted(found.split("+")) == sorted(text.split("+"))


def test_what_a_list_of_configs_for_each_layer_decides_is_not_known() -> None:
    """As block_configs of DeciLM: its sizes may be multiples of another number by chance."""
    config = {"hidden": 12, "blocks": [{"mult": 2.0}, {"mult": 2.0}]}
    other = run({"blocks": [{"mult": 4.0}, {"mult": 4.0}]}, w=[48, 12], n=[12])
    wider = run({"hidden": 24}, w=[48, 24], n=[24])
    (row,) = size_rows.rows(result({"w": [24, 12], "n": [12]}, [other, wider], config))
    assert row["names"] == ["n"]
