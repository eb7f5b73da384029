"""Names that the learner finds where a loader takes part of a model under names of its own."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from place_learner import drafts, tables

torch: Any = pytest.importorskip("torch")
TorchModule: Any = torch.nn.Module

from place_learner import completion  # noqa: E402
from runtime_probe import built as built_models  # noqa: E402
from runtime_probe import trace  # noqa: E402

SIZE = 4
Loader = Callable[[str], str]


class Block(TorchModule):
    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Linear(SIZE, SIZE, bias=False)


class Experts(TorchModule):
    """Holds a module that its owner has too, as runtimes wrap shared experts."""

    def __init__(self, shared: Any) -> None:
        super().__init__()
        self._wrapped = shared


class Layer(TorchModule):
    def __init__(self) -> None:
        super().__init__()
        shared = Block()
        self.experts = Experts(shared)
        self.shared = shared


class Model(TorchModule):
    """`tower` is stored as it is called; `layers` as `place` says."""

    def __init__(self, place: Loader) -> None:
        super().__init__()
        self.tower, self.block, self.place = Block(), Layer(), place

    def load_weights(self, weights: Any) -> None:
        parameters = dict(self.named_parameters(remove_duplicate=False))
        for name, tensor in weights:
            place = name if name.startswith("tower.") else self.place(name)
            parameters[place].data.copy_(tensor)


def built_with(place: Loader) -> built_models.Built:
    with torch.device("meta"):
        model = Model(place)
    return built_models.Built(model, {}, {}, None, nullcontext, "", None)


def tensor() -> Any:
    return torch.empty(SIZE, SIZE, device="meta")


@pytest.mark.parametrize(
    ("place", "stored"),
    [
        (lambda name: name, "block.shared.up.weight"),
        (
            lambda name: {"model.block.shared.up.weight": name[6:]}[name],
            "model.block.shared.up.weight",
        ),
        (lambda name: f"block.{name}", "shared.up.weight"),
    ],
    ids=["as it is, not the wrapper's", "with a usual prefix", "without what the loader adds"],
)
def test_a_name_is_found_for_every_parameter(place: Loader, stored: str) -> None:
    built = built_with(place)
    known = {"tower.up.weight": tensor()}
    found = completion.complete(built, trace.load(built, known), known)
    loaded = trace.load(built, found)
    assert found.keys() == {"tower.up.weight", stored}
    assert loaded["single_pass"]
    assert not loaded["never_written"]


def test_names_start_as_those_that_were_loaded() -> None:
    def place(name: str) -> str:
        if not name.startswith("inner.net."):
            raise KeyError(name)
        return name.removeprefix("inner.net.")

    built = built_with(place)
    lands = {"inner.net.block.norm.weight": [("block.norm.weight", 0)]}
    loaded = {"lands": lands, "single_pass": True, "never_written": _unwritten(built)}
    found = completion.complete(built, loaded, {})
    assert "inner.net.block.shared.up.weight" in found


def test_a_parameter_that_no_name_reaches_gets_none() -> None:
    def refuse(name: str) -> str:
        raise KeyError(name)

    built = built_with(refuse)
    loaded = {"lands": {}, "single_pass": True, "never_written": _unwritten(built)}
    assert completion.complete(built, loaded, {}).keys() == {"tower.up.weight"}


def _unwritten(built: built_models.Built) -> list[str]:
    return [name for name, _ in built.model.named_parameters()]


def test_a_draft_may_have_embeddings_and_head_of_its_target() -> None:
    load = {"single_pass": True, "lands": {"a": []}, "never_written": ["model.embed_tokens.weight"]}
    assert tables.is_whole(load, is_draft=True)
    assert not tables.is_whole(load)
    layer = {**load, "never_written": ["model.layers.0.enorm.weight"]}
    assert not tables.is_whole(layer, is_draft=True)


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("DeepseekV3ForCausalLMNextN", "DeepseekV3ForCausalLM"),
        ("DeepSeekMTPModel", "DeepseekV3ForCausalLM"),
        ("Glm4MoeMTPModel", "Glm4MoeForCausalLM"),
        ("LlamaForCausalLMEagle3", "LlamaForCausalLM"),
        ("EagleMiniCPMForCausalLM", ""),
        ("Glm4MoeForCausalLM", ""),
    ],
)
def test_a_draft_is_built_with_its_target_s_config(architecture: str, target: str) -> None:
    registered = {"DeepseekV3ForCausalLM", "Glm4MoeForCausalLM", "LlamaForCausalLM"}
    assert drafts.target(architecture, registered) == target
    assert drafts.is_draft(architecture) == (architecture != "Glm4MoeForCausalLM")


def test_only_a_draft_inside_its_target_s_checkpoint_has_that_config_itself() -> None:
    assert drafts.is_inside("DeepseekV3ForCausalLMNextN")
    assert not drafts.is_inside("LlamaForCausalLMEagle3")
