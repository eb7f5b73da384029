"""What the numbers of scales and weights give away, rule by rule, on real exports."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ckptfix.checkpoint.numbers import JoinedNumbers, ModuleNumbers, Numbers
from ckptfix.rules.finding import Finding
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import choose_name_map
from ckptfix.verifying.measure import measure
from ckptfix.verifying.stored import SOURCE, StoredWeight
from tests.conftest import DATA, load
from tests.verifying.modules import format_row, stored_weights

Change = Callable[[Tensor], Tensor]
DOWN, Q, K = (
    f"model.layers.0.{part}" for part in ("mlp.down_proj", "self_attn.q_proj", "self_attn.k_proj")
)
PACKED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


def measured(layers: Iterable[tuple[StoredWeight, ...]]) -> Numbers:
    modules: dict[str, ModuleNumbers] = {}
    joined = []
    for members in layers:
        modules |= {numbers.name: numbers for numbers in measure(members)}
        joined.append(JoinedNumbers(members[0].name, tuple(member.name for member in members)))
    return Numbers(modules, tuple(joined))


def layers_of(stored: Iterable[StoredWeight]) -> list[tuple[StoredWeight, ...]]:
    by_name = {weight.name: weight for weight in stored}
    layers = []
    for name, weight in by_name.items():
        parent, _, last = name.rpartition(".")
        parts = next((parts for parts in PACKED.values() if last in parts), (last,))
        if last == parts[0]:
            layers.append(tuple(by_name[f"{parent}.{part}"] for part in parts))
        elif last not in {part for group in PACKED.values() for part in group}:
            layers.append((weight,))
    return layers


def find(directory: Path, *changes: tuple[str, str, Change]) -> dict[str, list[Finding]]:
    """Findings of family CKF8 by code, after changes to (module, role)."""
    stored = {weight.name: weight for weight in stored_weights(directory)}
    for module, role, change in changes:
        weight = stored[module]
        stored[module] = weight.with_tensors(**{role: change(weight.tensors[role])})
    checkpoint = load(directory)
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    found: dict[str, list[Finding]] = {}
    for finding in find_all(checkpoint, name_map, numbers=measured(layers_of(stored.values()))):
        if finding.code.startswith("CKF8"):
            found.setdefault(finding.code, []).append(finding)
    return found


def as_(tensor: Tensor, like: Tensor) -> Tensor:
    return tensor.to(like.dtype)


def twice(tensor: Tensor) -> Tensor:
    return as_((tensor.float() * 2).clamp(-448, 448), tensor)


def zero(tensor: Tensor) -> Tensor:
    return as_(tensor.float() * 0, tensor)


def nan(tensor: Tensor) -> Tensor:
    return as_(tensor.float() * float("nan"), tensor)


@pytest.mark.parametrize(
    ("fixture", "module", "role", "change", "code"),
    [
        ("llama-fp8-kv8", DOWN, "input_scale", zero, "CKF801"),
        ("llama-fp8-kv8", DOWN, "weight_scale", nan, "CKF801"),
        ("llama-fp8-pc-pt", DOWN, "weight_scale", torch.neg, "CKF801"),
        ("llama-int8-wo", DOWN, "weight_scale", lambda t: t * 1e9, "CKF801"),
        ("llama-mxfp8", DOWN, "weight_scale", zero, "CKF801"),
        ("llama-w4a8-mxfp4-fp8", DOWN, "weight_scale", zero, "CKF801"),
        ("llama-fp8-kv8", DOWN, "weight", zero, "CKF802"),
        ("llama-fp8-kv8", DOWN, "weight", nan, "CKF802"),
        (
            "llama-fp8-kv8",
            DOWN,
            "weight",
            lambda t: as_((t.float() * 4).clamp(-448, 448), t),
            "CKF802",
        ),
        ("llama-nvfp4-tied", DOWN, "weight_scale", lambda t: t.flip(0), "CKF803"),
        ("llama-mxfp8", DOWN, "weight_scale", lambda t: t.flip(1), "CKF803"),
        ("llama-nvfp4-tied", DOWN, "weight_scale", twice, "CKF804"),
        ("llama128-w4a8-awq", DOWN, "weight_scale_2", twice, "CKF804"),
        ("llama-w4a8-nvfp4-fp8", DOWN, "weight_scale", twice, "CKF804"),
        ("llama-nvfp4-tied", K, "weight_scale_2", twice, "CKF805"),
        ("llama-fp8-kv8", K, "input_scale", twice, "CKF805"),
        ("llama-int8-sq", Q, "pre_quant_scale", twice, "CKF805"),
        ("llama-fp8-kv8", DOWN, "input_scale", torch.ones_like, "CKF806"),
        ("llama-int8-sq", DOWN, "input_scale", twice, "CKF807"),
        ("llama-nvfp4-tied", DOWN, "weight_scale_2", torch.reciprocal, "CKF813"),
        ("llama-nvfp4-tied", DOWN, "input_scale", torch.reciprocal, "CKF813"),
        ("llama-fp8-kv8", DOWN, "weight_scale", torch.reciprocal, "CKF813"),
        ("llama-w4a16-nvfp4", DOWN, "weight_scale_2", torch.reciprocal, "CKF813"),
        ("llama-nvfp4-svd", DOWN, "pre_quant_scale", twice, "CKF808"),
        ("llama-nvfp4-svd", DOWN, "svdquant_lora_a", twice, "CKF809"),
        ("llama-nvfp4-svd", DOWN, "svdquant_lora_b", twice, "CKF809"),
        ("llama-nvfp4-svd", K, "svdquant_lora_b", zero, "CKF809"),
    ],
)
def test_a_wrong_tensor_is_found_and_its_module_named(
    fixture: str, module: str, role: str, change: Change, code: str
) -> None:
    assert not find(DATA / fixture)
    found = find(DATA / fixture, (module, role, change))
    assert module in {name for finding in found[code] for name in finding.modules}
    first = next(f for f in found[code] if f.subject == module)
    assert first.place.file == "model.safetensors"
    assert (first.place.tensor or "").startswith(module)


def row_by_row(weight: Tensor) -> StoredWeight:
    """FP8 with a scale for each row."""
    scale = weight.abs().amax(1) / 448
    tensors = {
        "weight": (weight / scale[:, None]).to(torch.float8_e4m3fn),
        "weight_scale": scale,
    }
    row = format_row("FP8_PER_CHANNEL_PER_TOKEN")
    return StoredWeight("out_proj", row, (weight.shape[0], weight.shape[1]), tensors)


def pairing(stored: StoredWeight) -> float | None:
    (numbers,) = measure([stored])
    assert numbers.weight is not None
    return numbers.weight.pairing


def test_scales_that_hardly_differ_prove_nothing() -> None:
    """The rows of a uniform initial weight, as of NemotronH's out_proj, have nearly one maximum."""
    generator = torch.Generator().manual_seed(0)
    trained = row_by_row(torch.randn(64, 128, generator=generator))
    initial = row_by_row(torch.rand(64, 128, generator=generator) * 2 - 1)
    belongs = pairing(trained)
    assert belongs is not None
    assert belongs < -3
    swapped = pairing(trained.with_tensors(weight_scale=trained.tensors["weight_scale"].flip(0)))
    assert swapped is not None
    assert swapped > -3
    assert pairing(initial) is None


@pytest.mark.parametrize("fixture", ["llama-nvfp4-tied", "llama-fp8-kv8", "llama-w4a16-nvfp4"])
def test_a_reciprocal_is_called_so_and_nothing_else(fixture: str) -> None:
    """Of every module of a checkpoint, as a converter leaves them."""
    roles = {weight.name: weight.tensors for weight in stored_weights(DATA / fixture)}
    changes = [
        (name, role, torch.reciprocal)
        for name, tensors in roles.items()
        for role in ("weight_scale_2", "weight_scale")
        if role in tensors and tensors[role].numel() == 1
    ]
    found = find(DATA / fixture, *changes)
    assert found.keys() <= {"CKF813", "CKF810", "CKF812"}
    assert {f.subject for f in found["CKF813"]} == {name for name, *_ in changes}
    assert all("reciprocal" in finding.message for finding in found["CKF813"])


def test_members_that_all_differ_are_all_named() -> None:
    found = find(
        DATA / "llama-nvfp4-tied",
        (K, "weight_scale_2", lambda t: t * 1.5),
        (Q, "weight_scale_2", lambda t: t * 1.25),
    )
    assert {finding.subject.rpartition(".")[2] for finding in found["CKF805"]} == {
        "q_proj",
        "k_proj",
        "v_proj",
    }


def with_source(fixture: str, change: Change) -> list[Finding]:
    """`llama-kv8-only` holds, unquantized, the weights that the other exports were made from."""
    source = load_file(DATA / "llama-kv8-only" / "model.safetensors")[f"{DOWN}.weight"]
    weight = next(w for w in stored_weights(DATA / fixture) if w.name == DOWN)
    weight = weight.with_tensors(
        **{SOURCE: source, "weight_scale": change(weight.tensors["weight_scale"])}
    )
    checkpoint = load(DATA / fixture)
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    found = find_all(checkpoint, name_map, numbers=measured([(weight,)]))
    return [finding for finding in found if finding.code == "CKF812"]


@pytest.mark.parametrize(
    "fixture",
    [
        "llama-fp8-kv8",
        "llama-fp8-pc-pt",
        "llama-int8-sq",
        "llama-int8-wo",
        "llama-mxfp8",
        "llama-nvfp4-svd",
        "llama-nvfp4-tied",
        "llama-w4a16-nvfp4",
        "llama-w4a8-mxfp4-fp8",
        "llama-w4a8-nvfp4-fp8",
    ],
)
def test_a_weight_is_within_the_band_of_its_source_and_twice_its_scale_is_not(fixture: str) -> None:
    assert not with_source(fixture, lambda scale: scale)
    wrong = (lambda t: t + 1) if fixture in ("llama-mxfp8", "llama-w4a8-mxfp4-fp8") else twice
    (finding,) = with_source(fixture, wrong)
    assert finding.subject == DOWN


def test_check_does_not_report_numbers_because_it_reads_no_weights() -> None:
    checkpoint = load(DATA / "old-0.23.0-llama-mixed")
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    assert not any(f.code.startswith("CKF8") for f in find_all(checkpoint, name_map))
