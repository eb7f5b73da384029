"""Layouts: named by families, and read as they are written."""

import pytest
from msgspec.structs import replace

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.family import builtin_families
from ckptfix.runtimes.layout import Layout, builtin_layouts
from ckptfix.runtimes.layout_spec import LayerKindsSpec, LayoutSpec, SparseLayersSpec
from ckptfix.runtimes.size_expressions import size_in


def test_every_layout_is_named_by_a_family_or_extended_and_every_name_is_one() -> None:
    layouts = builtin_layouts()
    named = {
        name
        for family in builtin_families()
        for name in (
            family.spec.layout,
            *family.spec.layout_by.values(),
            *family.spec.towers.values(),
        )
        if name
    }
    assert named <= set(layouts)
    assert set(layouts) <= named | {layout.spec.extends for layout in layouts.values()}


@pytest.mark.parametrize("name", sorted(builtin_layouts()))
def test_what_a_layout_promises_is_among_its_modules(name: str) -> None:
    layout = builtin_layouts()[name]
    for beside in layout.spec.beside_layers:
        assert layout.may_hold(beside), beside
    listed = " ".join(layout.spec.modules)
    more = [part for spec in layout.spec.when for part in spec.in_every_layer]
    for part in [
        name for names in (*layout.spec.in_every_layer, *more) for name in names.split("|")
    ]:
        whole = f"{layout.spec.layers}.0.{part}"
        # A parameter is in a module that is listed.
        held = any(map(layout.may_hold, (whole, whole.rpartition(".")[0])))
        assert held or f".{part}." in listed, part
    assert not layout.may_hold(f"model.{layout.spec.layers or 'layers'}.0.input_layernorm")


@pytest.mark.parametrize(
    ("size", "values", "number"),
    [
        ("2*width/3^256", {"width": 1500}, 1024),
        ("width^step", {"width": 8, "step": 0}, None),
        ("hidden_size", {"hidden_size": 8}, 8),
        ("2*heads*dim+3", {"heads": 2, "dim": 4}, 19),
        ("heads*dim", {"heads": 2}, None),
        ("heads*dim|hidden_size", {"heads": 2, "hidden_size": 8}, 8),
        ("heads*dim|hidden_size", {"heads": 2, "dim": 2, "hidden_size": 8}, 4),
        ("2*hidden_size/heads", {"hidden_size": 8, "heads": 4}, 4),
        ("hidden_size/heads", {"hidden_size": 8, "heads": 0}, None),
        ("hidden_size/ratio/ratio", {"hidden_size": 8, "ratio": 0.5}, 32),
        ("hidden_size/ratio", {"hidden_size": 8, "ratio": 0.0}, None),
        ("?", {"hidden_size": 8}, None),
        ("hidden_size", {"hidden_size": [8]}, None),
    ],
)
def test_sizes_are_sums_of_products(
    size: str, values: dict[str, object], number: int | None
) -> None:
    assert size_in(size, ModelConfig(values=values)) == number


@pytest.mark.parametrize(
    ("values", "sparse"),
    [
        ({"first": 2}, [False, False, True]),
        ({"first": 2, "freq": 1}, [False, False, True]),
        ({"first": 2, "freq": 3}, [None, None, None]),
        ({}, [None, None, None]),
    ],
)
def test_the_first_layers_have_no_experts(
    values: dict[str, object], sparse: list[bool | None]
) -> None:
    spec = SparseLayersSpec("gate", "gate_proj", first_dense="first", unless=("freq",))
    layout = Layout(LayoutSpec("a test", sparse_layers=spec))
    config = ModelConfig(values=values)
    kinds = {"gate": True, "gate_proj": False, "": None}
    assert [kinds[next(layout.kinds_of_layer(n, config), ("", ""))[1]] for n in range(3)] == sparse


@pytest.mark.parametrize(
    ("values", "sparse"),
    [
        ({"num_experts": 4}, [True, True]),
        ({"num_local_experts": 4, "mlp_only_layers": None}, [True, True]),
        ({"num_experts": 4, "mlp_only_layers": [1]}, [True, False]),
        ({"num_experts": 4, "decoder_sparse_step": 2}, [False, True]),
        ({"num_experts": 4, "mlp_only_layers": "all"}, [None, None]),
        ({}, [None, None]),
    ],
)
def test_every_layer_has_experts_unless_config_json_excludes_it(
    values: dict[str, object], sparse: list[bool | None]
) -> None:
    layout = Layout(LayoutSpec("a test", sparse_layers=SparseLayersSpec("gate", "gate_proj")))
    config = ModelConfig(values=values)
    kinds = {"gate": True, "gate_proj": False, "": None}
    assert [kinds[next(layout.kinds_of_layer(n, config), ("", ""))[1]] for n in range(2)] == sparse


@pytest.mark.parametrize(
    ("model_type", "holds"),
    [("qwen3_5_text", "mlp.gate_proj"), ("qwen3_5_moe_text", "mlp.gate")],
)
def test_a_type_without_experts_has_none_though_its_config_class_fills_a_number_in(
    model_type: str, holds: str
) -> None:
    """SGLang's class of Qwen3.5 has 512 experts by default, and its dense models build none."""
    layout = builtin_layouts()["qwen3_5-sglang"]
    config = ModelConfig(values={"model_type": model_type, "num_experts": 512})
    assert [module for _, module in layout.kinds_of_layer(0, config) if "mlp" in module] == [holds]


@pytest.mark.parametrize(
    ("values", "kinds"),
    [({"kinds": ["a"]}, ["a"]), ({"kinds": None}, ["b", "a"]), ({"older": "bb"}, ["b", "b"])],
)
def test_a_class_may_have_kinds_of_its_own(values: dict[str, object], kinds: list[str]) -> None:
    modules = {"a": "a", "b": "b"}
    listed = (
        LayerKindsSpec("kinds", modules, counts=True, if_none=("b", "a")),
        LayerKindsSpec("older", modules, counts=True),
    )
    layout = Layout(LayoutSpec("a test", layer_kinds=listed))
    config = ModelConfig(num_hidden_layers=7, values=values)
    assert layout.number_of_layers(config) == len(kinds)
    found = [next(layout.kinds_of_layer(n, config))[1] for n in range(len(kinds))]
    assert found == kinds


def test_only_exclusive_kinds_of_layers_rule_out_each_others_modules() -> None:
    """In DeepSeek V4 a layer that compresses by 4 has the compressor of one that does by 128."""
    kinds = LayerKindsSpec(key="kinds", modules={"a": "conv.in_proj", "b": "self_attn.q_proj"})
    spec = LayoutSpec(source="", layer_kinds=(kinds,))
    assert not Layout(spec).excluded_by("conv.in_proj")
    alone = replace(spec, layer_kinds=(replace(kinds, exclusive=True),))
    assert Layout(alone).excluded_by("conv.in_proj") == ("self_attn.",)
    assert not Layout(alone).excluded_by("self_attn.k_proj")
