"""Where names end that the learner offers, and which configs it takes."""

import json
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from place_learner import configs

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


PARAMS = {"dim": 64, "n_layers": 2, "moe": {"num_shared_experts": 1}}


def test_a_params_json_is_for_the_classes_that_read_that_format_only(tmp_path: Path) -> None:
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

    written = tmp_path / "written"
    written.mkdir()
    quantization = {"quantization_config": {"quant_method": "any"}}
    configs.write(pixtral.config, "PixtralForConditionalGeneration", written, quantization)
    assert [path.name for path in written.iterdir()] == ["params.json"]
    assert json.loads((written / "params.json").read_text()) == {**pixtral.config, **quantization}
