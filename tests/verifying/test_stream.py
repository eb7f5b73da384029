"""Tensors come as they lie in the files, within the budget."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ckptfix.errors import CkptfixError
from ckptfix.verifying import stream as stream_module
from ckptfix.verifying.stream import Stream, TensorSpan, Unit
from tests.conftest import DATA

CPU = torch.device("cpu")
DEVICES = [
    CPU,
    pytest.param(
        torch.device("cuda"),
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    ),
]


def spans(path: Path) -> Iterator[TensorSpan]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__")
    for name, row in header.items():
        start, end = row["data_offsets"]
        module, _, role = name.rpartition(".")
        shape = tuple(row["shape"])
        yield TensorSpan(module, role, path, 8 + length + start, end - start, row["dtype"], shape)


def bytes_of(tensor: torch.Tensor) -> list[int]:
    made: list[int] = tensor.reshape(-1).view(torch.uint8).cpu().tolist()
    return made


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("piece", [16 << 20, 100])
def test_every_tensor_is_what_the_safetensors_package_reads(
    piece: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_PIECE", piece)
    path = DATA / "nanovl-fp8" / "model.safetensors"
    expected = load_file(path)
    wanted = [span for span in spans(path) if span.dtype in stream_module.TORCH_DTYPES]
    units = [Unit(i, tuple(wanted[i : i + 7])) for i in range(0, len(wanted), 7)]
    seen: dict[str, torch.Tensor] = {}
    with Stream(units, device, prefetch=2_000) as stream:
        for _, tensors in stream:
            seen |= {
                f"{module}.{role}": tensor.clone() for (module, role), tensor in tensors.items()
            }
    assert len(seen) == len(wanted)
    for name, tensor in seen.items():
        assert tensor.dtype == expected[name].dtype
        assert tensor.shape == expected[name].shape
        assert bytes_of(tensor) == bytes_of(expected[name])


def test_what_is_held_stays_under_the_largest_unit_and_the_budget() -> None:
    path = DATA / "nanovl-fp8" / "model.safetensors"
    units = [Unit(i, (span,)) for i, span in enumerate(spans(path)) if span.dtype == "F8_E4M3"]
    largest = max(unit.nbytes for unit in units)
    for prefetch in (0, 5_000, 10**9):
        held = 0
        with Stream(units, CPU, prefetch=prefetch) as stream:
            for _ in stream:
                held = max(held, stream.on_host)
        assert largest <= held <= largest + prefetch
    assert held == sum(unit.nbytes for unit in units)  # the last budget takes everything


def test_equal_roles_lie_side_by_side_so_that_packed_modules_need_no_copy() -> None:
    path = DATA / "llama-fp8-kv8" / "model.safetensors"
    names = [f"model.layers.0.self_attn.{part}_proj" for part in "qkv"]
    wanted = [s for s in spans(path) if s.module in names and s.role in ("weight", "weight_scale")]
    with Stream([Unit(0, tuple(wanted))], CPU) as stream:
        ((_, tensors),) = list(stream)
        starts = [
            tensors[name, "weight"].data_ptr() for name in dict.fromkeys(s.module for s in wanted)
        ]
        sizes = [s.nbytes for s in wanted if s.role == "weight"]
    assert [b - a for a, b in pairwise(starts)] == sizes[:-1]


def test_a_file_that_ends_early_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(b"\0" * 50)
    span = TensorSpan("layer", "weight", path, 10, 100, "U8", (100,))
    ends = r"short.safetensors tensor layer.weight: the file ends"
    with Stream([Unit(0, (span,))], CPU) as stream, pytest.raises(CkptfixError, match=ends):
        list(stream)
