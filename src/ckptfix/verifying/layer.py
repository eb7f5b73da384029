"""One GEMM of the runtime: the members of a packed module side by side."""

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from ckptfix.checkpoint.formats.format import Format
from ckptfix.verifying.dequantize.fp8 import to_e4m3
from ckptfix.verifying.dequantize.registry import Dequantizer, dequantize, dequantizer, in_chunks
from ckptfix.verifying.stored import StoredWeight


class Layer(Struct, frozen=True):
    """Weights that a runtime multiplies with one input."""

    name: str
    members: tuple[StoredWeight, ...]
    """In packed order; all of one quant_algo and one input size."""
    in_bank: bool = False
    """Whether it is an expert of a fused bank."""

    @property
    def quant_algo(self) -> str:
        """Of all members."""
        return self.format.quant_algo

    @property
    def shape(self) -> tuple[int, int]:
        """Total `out` of all members, and their `in`."""
        return sum(member.shape[0] for member in self.members), self.members[0].shape[1]

    @property
    def format(self) -> Format:
        """Of all members."""
        return self.members[0].format

    @property
    def dequantizer(self) -> Dequantizer:
        """How its members are decoded."""
        return dequantizer(self.format)

    @property
    def device(self) -> torch.device:
        """The device of its tensors."""
        return self.members[0].tensors["weight"].device

    @property
    def input_scale(self) -> Tensor | None:
        """The largest of its members, as vLLM and SGLang take it; None if there is none."""
        scales = [m.scalar("input_scale") for m in self.members if "input_scale" in m.tensors]
        return torch.stack(scales).amax() if scales else None

    @property
    def pre_quant_scale(self) -> Tensor | None:
        """The factor of its input; a runtime keeps only one."""
        first = self.members[0].tensors.get("pre_quant_scale")
        return None if first is None else first.float()

    def joined(self, role: str) -> Tensor:
        """One role of all members, concatenated along the output."""
        tensors = [member.tensors[role] for member in self.members]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)

    def of_one_grid(self, rows: int) -> bool:
        """True if no block of `rows` rows spans two members."""
        return all(member.shape[0] % rows == 0 for member in self.members[:-1])


class HeldLayer(Struct, frozen=True):
    """A layer as a runtime holds it after loading."""

    layer: Layer
    requantized_error: float | None = None
    """Relative error added by requantizing the weights; None if nothing was requantized."""


def hold_as_runtime(layer: Layer) -> HeldLayer:
    """Give the members of a packed module the single scale that a runtime keeps.

    FP8 per tensor: weights are requantized to the largest scale. NVFP4: the largest
    `weight_scale_2` is taken, of an expert the first, and nothing is requantized. Weights are
    overwritten, so whatever needs the stored ones must run before.

    Source: vLLM 0.33.0, vllm/model_executor/layers/quantization/modelopt.py (lines 1063, 2093 and
    2187) and utils/w8a8_utils.py `requantize_with_max_scale`.
    """
    if len(layer.members) == 1:
        return HeldLayer(layer)
    role = layer.format.scales.shared
    if not role:
        return HeldLayer(layer)
    scales = torch.stack([member.scalar(role) for member in layer.members])
    largest = scales.amax()
    if bool((scales == largest).all()):
        return HeldLayer(layer)
    if role == "weight_scale_2":
        taken = scales[0] if layer.in_bank else largest
        members = tuple(m.with_tensors(weight_scale_2=taken) for m in layer.members)
        return HeldLayer(replace(layer, members=members))
    added, whole = torch.zeros(2, device=layer.device, dtype=torch.float64)
    for member in layer.members:
        for rows, chunk in in_chunks(member):
            weight = dequantize(chunk)
            codes = to_e4m3(weight / largest)
            member.tensors["weight"][rows] = codes
            added += (codes.float() * largest - weight).double().square().sum()
            whole += weight.double().square().sum()
    members = tuple(m.with_tensors(weight_scale=largest) for m in layer.members)
    return HeldLayer(replace(layer, members=members), float((added / whole).sqrt()))
