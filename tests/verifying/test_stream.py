"""Tensors come as they lie in the files, and take no more memory than one module."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ckptfix.checkpoint.safetensors import Layouts, fetch_header, read_header, read_starts
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError
from ckptfix.verifying.stream import DECODED, Stream, TensorSpan, Unit
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
    raw = fetch_header(DirectorySource.open(str(path.parent)), path.name)
    starts = read_starts(raw)
    for name, tensor in read_header(raw, Layouts()).items():
        module, _, role = name.rpartition(".")
        yield TensorSpan(module, role, path, name, starts[name], tensor.nbytes, tensor.dtype)


def bytes_of(tensor: torch.Tensor) -> list[int]:
    made: list[int] = tensor.reshape(-1).view(torch.uint8).cpu().tolist()
    return made


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_every_tensor_is_what_load_file_reads(device: torch.device) -> None:
    path = DATA / "nanovl-fp8" / "model.safetensors"
    expected = load_file(path)
    wanted = [span for span in spans(path) if span.dtype in DECODED]
    units = [Unit(i, tuple(wanted[i : i + 7])) for i in range(0, len(wanted), 7)]
    seen: dict[str, torch.Tensor] = {}
    with Stream(units, device, prefetch=2_000) as stream:
        for _, tensors in stream:
            seen |= {
                f"{module}.{role}": tensor.clone() for (module, role), tensor in tensors.items()
            }
    assert len(seen) == len(wanted)
    for name, tensor in seen.items():
        assert tensor.device.type == device.type
        assert tensor.dtype == expected[name].dtype
        assert tensor.shape == expected[name].shape
        assert bytes_of(tensor) == bytes_of(expected[name])


def test_units_come_in_the_order_of_their_files() -> None:
    path = DATA / "nanovl-fp8" / "model.safetensors"
    in_file = [span.name for span in sorted(spans(path), key=lambda span: span.start)]
    units = [Unit(key, (span,)) for key, span in enumerate(spans(path))][::-1]
    with Stream(units, CPU) as stream:
        assert [unit.spans[0].name for unit, _ in stream] == in_file


def test_exponents_of_scales_come_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    scale = torch.tensor([120, 121, 255], dtype=torch.uint8)
    save_file({"layer.weight_scale": scale.view(torch.float8_e8m0fnu)}, path)
    with Stream([Unit(0, tuple(spans(path)))], CPU) as stream:
        ((_, tensors),) = list(stream)
    assert tensors["layer", "weight_scale"].tolist() == [120, 121, 255]


def write_sparse(path: Path, *, tensors: int, nbytes: int) -> None:
    """Weights of zeros that take no space on the disk."""
    rows = {
        f"layers.{n}.weight": {
            "dtype": "U8",
            "shape": [nbytes],
            "data_offsets": [n * nbytes, (n + 1) * nbytes],
        }
        for n in range(tensors)
    }
    header = json.dumps(rows).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + tensors * nbytes)


READ_ALL = """
import sys
from pathlib import Path
import torch
from ckptfix.verifying.stream import Stream, Unit
from tests.verifying.test_stream import spans

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

units = [Unit(key, (span,)) for key, span in enumerate(spans(Path(sys.argv[1])))]
before = most()
with Stream(units, torch.device("cpu")) as stream:
    read = sum(int(t.sum() == 0) for _, tensors in stream for t in tensors.values())
assert read == len(units)
print(most() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_sparse(path, tensors=60, nbytes=8 << 20)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(path)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 350 << 20 < path.stat().st_size


def test_a_file_that_the_library_refuses_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    save_file({"layer.weight": torch.zeros(100)}, path)
    wanted = tuple(spans(path))
    path.write_bytes(path.read_bytes()[:-10])
    refuses = r"short.safetensors tensor layer.weight: the safetensors library refuses the file: .*"
    with Stream([Unit(0, wanted)], CPU) as stream, pytest.raises(CkptfixError, match=refuses):
        list(stream)


def test_a_file_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "gone.safetensors"
    save_file({"layer.weight": torch.zeros(100)}, path)
    wanted = tuple(spans(path))
    path.unlink()
    gone = r"gone.safetensors tensor layer.weight: No such file"
    with Stream([Unit(0, wanted)], CPU) as stream, pytest.raises(CkptfixError, match=gone):
        list(stream)
