"""The fallback on every device: the weight is dequantized to BF16 and multiplied in BF16."""

import torch
from torch import Tensor

from ckptfix.verifying.dequantize.registry import dequantize, in_chunks
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer

KERNEL = "torch matmul BF16"
TOLERANCE = 0.01


def emulate(layer: Layer, given: Input) -> Tensor:
    """`[tokens, out]` of the quantized input and the dequantized weight, both in BF16."""
    x = given.activations.dequantized.bfloat16()
    outputs = [
        x @ dequantize(chunk).bfloat16().T
        for member in layer.members
        for _, chunk in in_chunks(member)
    ]
    return torch.cat(outputs, 1)
