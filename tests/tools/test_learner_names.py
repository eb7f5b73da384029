"""Where names end that the learner offers, and which configs it takes."""

import json
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest

from place_learner import configs, state_names

torch: Any = pytest.importorskip("torch")
TorchModule: Any = torch.nn.Module

from runtime_probe import trace  # noqa: E402
from runtime_probe.built import Built  # noqa: E402

SIZE = 8


class SharedStorage(TorchModule):
    """Two parameters that are parts of one tensor, as fused projections of SGLang are."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.empty(2 * SIZE, SIZE)
        for number, name in enumerate(("first", "second")):
            part = whole[number * SIZE : (number + 1) * SIZE]
            self.register_parameter(name, torch.nn.Parameter(part, requires_grad=False))

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        parameters = dict(self.named_parameters())
        for name, tensor in weights:
            parameters[name.removesuffix(".weight")].copy_(tensor)


def test_a_tensor_ends_in_the_part_of_a_shared_storage_that_it_fills() -> None:
    with torch.device("meta"):
        model = SharedStorage()
        tensors = {f"{name}.weight": torch.empty(SIZE, SIZE) for name in ("first", "second")}
    loaded = trace.load(Built(model, {}, {}, None, nullcontext, "", None), tensors)
    reached = {
        name: [parameter for parameter, _ in lands] for name, lands in loaded["lands"].items()
    }
    assert reached == {"first.weight": ["first"], "second.weight": ["second"]}
    assert not loaded["never_written"]


class Renamed(TorchModule):
    """A class with a table of the names of another format, as Mistral Large 3 has."""

    remapping: ClassVar = {r"tok_(\w+)\.(\w+)": r"model.\1.\2"}

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Module()
        self.model.embeddings = torch.nn.Linear(SIZE, SIZE, bias=False)


@pytest.mark.parametrize("start", ["", "inner."])
def test_the_names_that_a_class_translates_are_tried(start: str) -> None:
    model = torch.nn.ModuleDict({"inner": Renamed()}) if start else Renamed()
    built = Built(model, {}, {}, None, nullcontext, "", None)
    tried = [set(tensors) for tensors, _ in state_names.variants("LlamaForCausalLM", built, 2)]
    assert {f"{start}model.embeddings.weight"} in tried
    assert {"tok_embeddings.weight"} in tried


PARAMS = {"dim": 64, "n_layers": 2, "moe": {"num_shared_experts": 1}}


def test_a_params_json_is_for_the_classes_that_read_that_format_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = {"hidden_size": 64}
    for name, params in {
        "large": {**PARAMS, "vision_encoder": tower},
        "small": {"dim": 64, "n_layers": 2},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.json").write_text(json.dumps(params))
    found = configs.published([tmp_path])
    assert found.keys() == {"MistralLarge3ForCausalLM", "PixtralForConditionalGeneration"}
    assert found["MistralLarge3ForCausalLM"][0].config == PARAMS
    [pixtral] = found["PixtralForConditionalGeneration"]
    assert (pixtral.source, pixtral.origin) == ("real", "large")

    quantization = {"quantization_config": {"quant_method": "any"}}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    written = configs.write(pixtral.config, "PixtralForConditionalGeneration", quantization)
    assert "mistral-large-3" in written.name, "SGLang reads params.json only then"
    assert [path.name for path in written.iterdir()] == ["params.json"]
    assert json.loads((written / "params.json").read_text()) == {**pixtral.config, **quantization}
