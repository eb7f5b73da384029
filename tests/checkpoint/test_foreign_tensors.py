"""Tensors of other quantizers are called by their names, whatever the metadata call them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from tests.builders import Shapes, bf16, write_checkpoint
from tests.conftest import DATA, files_of

LAYER = "model.layers.0"
WORDS = {2: 4, 3: 6, 4: 8, 5: 10, 6: 12, 8: 16}
"""Bits -> words of 32 bits that hold 64 codes."""


def mlx(module: str, words: int, *, dtype: str = "BF16", groups: int = 2) -> Shapes:
    made: Shapes = {
        f"{module}.weight": ("U32", (64, words)),
        f"{module}.scales": (dtype, (64, groups)),
    }
    return made | ({f"{module}.biases": (dtype, (64, groups))} if dtype == "BF16" else {})


def mlx_checkpoint(directory: Path, tensors: Shapes, said: dict[str, Any]) -> Path:
    write_checkpoint(directory, tensors | bf16("model.norm", 64), None, extra_config=said)
    return directory


def stored(directory: Path) -> dict[str, int]:
    return {row.stored_format: row.modules for row in ckptfix.inspect(directory).formats}


@pytest.mark.parametrize("keys", [("quantization", "quantization_config"), ("quantization",)])
@pytest.mark.parametrize("bits", WORDS)
def test_mlx_of_any_number_of_bits(bits: int, keys: tuple[str, ...], tmp_path: Path) -> None:
    said = {"group_size": 32, "bits": bits, "mode": "affine"}
    tensors = mlx(f"{LAYER}.mlp.down_proj", WORDS[bits])
    directory = mlx_checkpoint(tmp_path, tensors, dict.fromkeys(keys, said))
    assert stored(directory) == {f"MLX_INT{bits}": 1, "unquantized": 1}
    checked = ckptfix.check(directory)
    assert checked.loads == "no"
    assert not {f.code for f in checked.findings} & {"CKF201", "CKF301", "CKF303"}
    assert checked.advised is None


@pytest.mark.parametrize(
    ("mode", "words", "groups", "label"),
    [
        ("mxfp4", 8, 2, "MLX_MXFP4"),
        ("nvfp4", 8, 4, "MLX_NVFP4"),
        ("mxfp8", 16, 2, "MLX_MXFP8"),
    ],
)
def test_mlx_of_floats(mode: str, words: int, groups: int, label: str, tmp_path: Path) -> None:
    tensors = mlx(f"{LAYER}.mlp.down_proj", words, dtype="U8", groups=groups)
    said = {"group_size": 64 // groups, "bits": 4, "mode": mode}
    assert label in stored(mlx_checkpoint(tmp_path, tensors, {"quantization_config": said}))


def test_mlx_with_settings_for_a_module(tmp_path: Path) -> None:
    tensors = mlx(f"{LAYER}.mlp.down_proj", 8) | mlx(f"{LAYER}.mlp.up_proj", 16)
    said: dict[str, Any] = {"group_size": 32, "bits": 4, f"{LAYER}.mlp.gate": False}
    said[f"{LAYER}.mlp.up_proj"] = {"group_size": 32, "bits": 8}
    directory = mlx_checkpoint(tmp_path, tensors, {"quantization_config": said})
    assert stored(directory) == {"MLX_INT4": 1, "MLX_INT8": 1, "unquantized": 1}
    assert not any(finding.code.startswith("CKF3") for finding in ckptfix.check(directory).findings)


def test_a_table_of_numbers_is_no_weight(tmp_path: Path) -> None:
    tensors = mlx(f"{LAYER}.mlp.down_proj", 8) | {"model.table.weight": ("U32", (8, 8))}
    assert stored(mlx_checkpoint(tmp_path, tensors, {}))["unquantized"] == 2


@pytest.mark.parametrize(
    ("name", "quantizer"),
    [
        ("ar-qwen25vl-awqfmt", "AWQ"),
        ("ar-qwen25vl-w4a16", "GPTQ"),
        ("bnb-qwen3moe-nf4", "bitsandbytes"),
        ("ct-qwen3moe-mixed", "compressed-tensors"),
    ],
)
def test_metadata_of_modelopt_over_tensors_of_another(
    name: str, quantizer: str, tmp_path: Path
) -> None:
    """No rewrite says in the words of ModelOpt what only the other one can say."""
    directory = shutil.copytree(DATA / "quantizers" / name, tmp_path / name)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": []}
    path.write_text(json.dumps(config))
    checked = ckptfix.check(directory)
    assert checked.loads == "no"
    reported = [finding for finding in checked.findings if finding.code == "CKF303"]
    assert reported
    assert all(f"a format of {quantizer}" in finding.message for finding in reported)
    assert all(f"the metadata that {quantizer}" in finding.advice for finding in reported)
    assert checked.advised is None
    before = files_of(directory)
    ckptfix.rewrite(directory, from_tensors=True)
    assert files_of(directory) == before
