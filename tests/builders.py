"""Make checkpoints on disk for tests: real files, arbitrary weights."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ckptfix.checkpoint.safetensors import DTYPE_BITS
from ckptfix.demo.shard_file import Stored, serialized

SHARD = "model.safetensors"
Shapes = dict[str, tuple[str, tuple[int, ...]]]


_LIBRARY: Final = {
    "BOOL": "bool",
    "F4": "float4_e2m1fn_x2",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
"""A dtype as headers spell it -> as the safetensors library takes it."""


UNRECORDED_TYPE = "musicgen"
"""A `model_type` that is known, but whose config class is not recorded: nothing is filled in."""


def safetensors_bytes(tensors: Shapes) -> bytes:
    """A shard file of zeros, written by the safetensors library: sorted by dtype and name."""
    data = serialized({name: _zeros(*each) for name, each in tensors.items()})
    others = {name: each for name, each in tensors.items() if each[0] not in _LIBRARY}
    return _labelled(data, others) if others else data


def _labelled(data: bytes, tensors: Shapes) -> bytes:
    """The same, with dtypes of the format that the library's Python side cannot write."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    for name, (dtype, shape) in tensors.items():
        header[name] |= {"dtype": dtype, "shape": list(shape)}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + data[end:]


def _zeros(dtype: str, shape: tuple[int, ...]) -> Stored:
    size = DTYPE_BITS[dtype] * math.prod(shape) // 8
    if dtype not in _LIBRARY:
        return Stored("uint8", (size,), bytes(size))
    # The library takes F4 as torch has it, two in a byte.
    given = (*shape[:-1], shape[-1] // 2) if dtype == "F4" else tuple(shape)
    return Stored(_LIBRARY[dtype], given, bytes(size))


def fp8(module: str, out: int = 32, columns: int = 32, *, input_scale: bool = True) -> Shapes:
    made: Shapes = {
        f"{module}.weight": ("F8_E4M3", (out, columns)),
        f"{module}.weight_scale": ("F32", ()),
    }
    if input_scale:
        made[f"{module}.input_scale"] = ("F32", ())
    return made


def nvfp4(module: str, out: int = 32, columns: int = 32) -> Shapes:
    return {
        f"{module}.weight": ("U8", (out, columns // 2)),
        f"{module}.weight_scale": ("F8_E4M3", (out, columns // 16)),
        f"{module}.weight_scale_2": ("F32", ()),
        f"{module}.input_scale": ("F32", ()),
    }


Linear = Callable[[str, int, int], Shapes]
"""Makes the tensors of a linear layer: its name, outputs, inputs."""


def bf16(module: str, *shape: int) -> Shapes:
    return {f"{module}.weight": ("BF16", shape or (32, 32))}


def write_checkpoint(
    directory: Path,
    tensors: Shapes,
    quantization: dict[str, Any] | None = None,
    *,
    architecture: str = "LlamaForCausalLM",
    in_file: str = "config.json",
    extra_config: dict[str, Any] | None = None,
) -> Path:
    """One shard file and one metadata file."""
    directory.mkdir(parents=True, exist_ok=True)
    named = {"architectures": [architecture], "model_type": UNRECORDED_TYPE}
    config: dict[str, Any] = named | (extra_config or {})
    if quantization is not None and in_file == "config.json":
        config["quantization_config"] = quantization
    elif quantization is not None:
        (directory / in_file).write_text(json.dumps({"quantization": quantization}, indent=2))
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    (directory / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    return directory


def mixed(layers: dict[str, str], **more: Any) -> dict[str, Any]:
    """A MIXED_PRECISION object: module -> quant_algo."""
    entries = {
        name: {"quant_algo": algo, **({"group_size": 16} if algo == "NVFP4" else {})}
        for name, algo in layers.items()
    }
    return {"quant_algo": "MIXED_PRECISION", "quantized_layers": entries, **more}


def whole_llama(*, input_scale: bool = True) -> Shapes:
    """A Llama of one layer with nothing missing, in FP8; LLAMA_CONFIG is its config.json."""
    layer = "model.layers.0"
    made: Shapes = {}
    for part in ("q", "k", "v", "o"):
        made |= fp8(f"{layer}.self_attn.{part}_proj", input_scale=input_scale)
    for part in ("gate", "up", "down"):
        made |= fp8(f"{layer}.mlp.{part}_proj", input_scale=input_scale)
    for norm in ("input_layernorm", "post_attention_layernorm"):
        made |= bf16(f"{layer}.{norm}", 32)
    return made | bf16("model.norm", 32) | bf16("model.embed_tokens") | bf16("lm_head")


LLAMA_CONFIG: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "vocab_size": 32,
}


def write_llama_with_a_warning(directory: Path, *ignore: str) -> Path:
    """A Llama that every release loads, with CKF503: the index states another total size."""
    tensors = whole_llama()
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head", *ignore]}
    write_checkpoint(directory, tensors, quantization, extra_config=LLAMA_CONFIG)
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, SHARD)}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory
