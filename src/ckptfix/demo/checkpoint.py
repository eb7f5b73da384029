"""Make a Nemotron Nano VL checkpoint of a few hundred kilobytes.

Names, dtypes, shapes and metadata are those of a MIXED_PRECISION export by ModelOpt 0.47.0;
the weights are arbitrary bytes.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ckptfix.demo.config import (
    CONV,
    HEADS,
    HIDDEN,
    INNER,
    KV,
    MERGED,
    VISION,
    VOCABULARY,
    model_config,
)
from ckptfix.demo.shard_file import Stored, serialized
from ckptfix.errors import CkptfixError, reason_of
from ckptfix.text import visible

TRUNK = "language_model.backbone"

BYTES_PER_ELEMENT = {"F32": 4, "BF16": 2, "U8": 1, "F8_E4M3": 1}
LIBRARY_DTYPES = {
    "F32": "float32",
    "BF16": "bfloat16",
    "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn",
}


class _Tensor(Struct, frozen=True):
    name: str
    dtype: str
    shape: tuple[int, ...]


def _fp8(module: str, out: int, columns: int) -> Iterator[_Tensor]:
    yield _Tensor(f"{module}.weight", "F8_E4M3", (out, columns))
    yield _Tensor(f"{module}.weight_scale", "F32", ())
    yield _Tensor(f"{module}.input_scale", "F32", ())


def _nvfp4(module: str, out: int, columns: int) -> Iterator[_Tensor]:
    yield _Tensor(f"{module}.weight", "U8", (out, columns // 2))
    yield _Tensor(f"{module}.weight_scale", "F8_E4M3", (out, columns // 16))
    yield _Tensor(f"{module}.weight_scale_2", "F32", ())
    yield _Tensor(f"{module}.input_scale", "F32", ())


def _mamba(layer: str) -> Iterator[_Tensor]:
    yield from _fp8(f"{layer}.mixer.in_proj", HIDDEN + CONV + HEADS, HIDDEN)
    yield from _fp8(f"{layer}.mixer.out_proj", HIDDEN, HIDDEN)
    yield _Tensor(f"{layer}.mixer.conv1d.weight", "BF16", (CONV, 1, 4))
    yield _Tensor(f"{layer}.mixer.conv1d.bias", "BF16", (CONV,))
    for name in ("A_log", "D", "dt_bias"):
        yield _Tensor(f"{layer}.mixer.{name}", "BF16", (HEADS,))
    yield _Tensor(f"{layer}.mixer.norm.weight", "BF16", (HIDDEN,))


def _mlp(layer: str) -> Iterator[_Tensor]:
    yield from _nvfp4(f"{layer}.mixer.up_proj", INNER, HIDDEN)
    yield from _nvfp4(f"{layer}.mixer.down_proj", HIDDEN, INNER)


def _attention(layer: str) -> Iterator[_Tensor]:
    for name, out in (("q_proj", HIDDEN), ("k_proj", KV), ("v_proj", KV), ("o_proj", HIDDEN)):
        yield from _fp8(f"{layer}.mixer.{name}", out, HIDDEN)
    yield _Tensor(f"{layer}.mixer.k_proj.k_scale", "F32", ())
    yield _Tensor(f"{layer}.mixer.v_proj.v_scale", "F32", ())


LAYERS = (_mamba, _mlp, _mamba, _attention, _mlp)


def _tensors() -> Iterator[_Tensor]:
    yield _Tensor(f"{TRUNK}.embeddings.weight", "BF16", (VOCABULARY, HIDDEN))
    for number, layer in enumerate(LAYERS):
        yield from layer(f"{TRUNK}.layers.{number}")
        yield _Tensor(f"{TRUNK}.layers.{number}.norm.weight", "BF16", (HIDDEN,))
    yield _Tensor(f"{TRUNK}.norm_f.weight", "BF16", (HIDDEN,))
    yield _Tensor("language_model.lm_head.weight", "BF16", (VOCABULARY, HIDDEN))
    yield _Tensor("mlp1.0.weight", "BF16", (MERGED,))
    yield _Tensor("mlp1.1.weight", "BF16", (INNER, MERGED))
    yield _Tensor("mlp1.3.weight", "BF16", (HIDDEN, INNER))
    yield from _vision("vision_model.radio_model")


def _vision(tower: str) -> Iterator[_Tensor]:
    """One block of RADIO, unquantized."""
    for name in ("norm_mean", "norm_std"):
        yield _Tensor(f"{tower}.input_conditioner.{name}", "BF16", (3, 1, 1))
    block, patches = f"{tower}.model.blocks.0", f"{tower}.model.patch_generator"
    linears = {
        "attn.qkv": (3 * VISION, VISION),
        "attn.proj": (VISION, VISION),
        "mlp.fc1": (2 * VISION, VISION),
        "mlp.fc2": (VISION, 2 * VISION),
    }
    for name, shape in linears.items():
        yield _Tensor(f"{block}.{name}.weight", "BF16", shape)
        yield _Tensor(f"{block}.{name}.bias", "BF16", shape[:1])
    for name in ("norm1", "norm2"):
        yield _Tensor(f"{block}.{name}.weight", "BF16", (VISION,))
        yield _Tensor(f"{block}.{name}.bias", "BF16", (VISION,))
    yield _Tensor(f"{patches}.cls_token.token", "BF16", (4, VISION))
    yield _Tensor(f"{patches}.embedder.weight", "BF16", (VISION, 48))
    yield _Tensor(f"{patches}.pos_embed", "BF16", (1, 16, VISION))
    yield _Tensor(f"{patches}.video_embedder.weight", "BF16", (VISION, 96))


def _layers(tensors: list[_Tensor]) -> dict[str, dict[str, Any]]:
    names = [t.name for t in tensors]
    layers: dict[str, dict[str, Any]] = {}
    for name in names:
        module, _, role = name.rpartition(".")
        if role == "weight" and f"{module}.weight_scale" in names:
            is_nvfp4 = f"{module}.weight_scale_2" in names
            layers[module] = (
                {"quant_algo": "NVFP4", "group_size": 16} if is_nvfp4 else {"quant_algo": "FP8"}
            )
    return layers


def _config(layers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    groups = {}
    for number, (algo, bits) in enumerate((("FP8", 8), ("NVFP4", 4))):
        scheme: dict[str, Any] = {"dynamic": False, "num_bits": bits, "type": "float"}
        groups[f"group_{number}"] = {
            "input_activations": scheme,
            "weights": scheme,
            "targets": sorted(
                name for name, layer in layers.items() if layer["quant_algo"] == algo
            ),
        }
    return model_config() | {
        "quantization_config": {
            "config_groups": groups,
            "quantized_layers": layers,
            "ignore": [],
            "quant_algo": "MIXED_PRECISION",
            "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"},
            "producer": {"name": "modelopt", "version": "0.47.0"},
            "quant_method": "modelopt",
        },
    }


def make_demo_checkpoint(directory: Path) -> None:
    """Write config.json, hf_quant_config.json and model.safetensors into an existing directory."""
    tensors = list(_tensors())
    layers = _layers(tensors)
    hf_quant = {
        "producer": {"name": "modelopt", "version": "0.47.0"},
        "quantization": {
            "quant_algo": "MIXED_PRECISION",
            "kv_cache_quant_algo": "FP8",
            "quantized_layers": layers,
        },
    }
    for file, content in (("config.json", _config(layers)), ("hf_quant_config.json", hf_quant)):
        (directory / file).write_text(json.dumps(content, indent=4), encoding="utf-8")
    stored = {tensor.name: _stored(tensor) for tensor in tensors}
    (directory / "model.safetensors").write_bytes(serialized(stored))


def _stored(tensor: _Tensor) -> Stored:
    """Arbitrary bytes, of which no float is infinite or NaN."""
    size = BYTES_PER_ELEMENT[tensor.dtype] * math.prod(tensor.shape)
    return Stored(LIBRARY_DTYPES[tensor.dtype], tensor.shape, b"\x38" * size)


def make_in(directory: str) -> None:
    """The same in a new directory.

    Raises:
        CkptfixError: it is there already, or cannot be made.
    """
    path = Path(directory)
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise CkptfixError(
            f"{visible(directory)}: already exists", advice="name a new directory"
        ) from error
    except OSError as error:
        raise CkptfixError(f"{visible(directory)}: {reason_of(error)}") from error
    make_demo_checkpoint(path)
