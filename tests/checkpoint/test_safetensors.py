import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import deserialize

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.checkpoint.table_reading import read_tensors
from ckptfix.errors import CkptfixError
from tests.builders import bf16, fp8, safetensors_bytes
from tests.conftest import FIXTURE_NAMES, FIXTURES

TWO = {**bf16("a", 4, 4), **bf16("b", 2, 2)}


def read(directory: Path):
    return read_tensors(DirectorySource.open(str(directory)))


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_headers_read_as_the_safetensors_library_reads_them(name: str) -> None:
    table = read(FIXTURES / name)
    seen = {}
    for file in sorted((FIXTURES / name).glob("*.safetensors")):
        for tensor, row_ in deserialize(file.read_bytes()):  # type: ignore[no-untyped-call]
            seen[tensor] = (file.name, row_["dtype"], tuple(row_["shape"]))
    assert {
        tensor: (table.file_of[tensor], row.dtype, row.shape)
        for tensor, row in table.tensors.items()
    } == seen


def header(rows: object, data: int = 0) -> bytes:
    encoded = json.dumps(rows).encode()
    return len(encoded).to_bytes(8, "little") + encoded + bytes(data)


def row(dtype: str = "BF16", shape: object = (2,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a safetensors file but an empty file"),
        (b"\x02\x00", "truncated: 2 bytes"),
        (b"\x80\x02}q\x00", "not a safetensors file but a pickle"),
        (b"PK\x03\x04aaaaaaaaaaaaaaaaaaaa", "not a safetensors file but a pickle"),
        (b"GGUF\x03\x00\x00\x00aaaaaaaaaaaa", "not a safetensors file but a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ((2**63).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        (
            (1000).to_bytes(8, "little") + b"{}",
            "the header needs 1008 bytes, but the file has only 10",
        ),
        ((6).to_bytes(8, "little") + b'{"a":}', "not valid JSON"),
        ((4).to_bytes(8, "little") + b"null", "not a safetensors file"),
        (header({"a": row()}, 3), "data ends at byte 4, but the file holds 3 bytes"),
        (header({"a": row()}, 8), "covers bytes 0 to 4 of 8 bytes"),
        (header({"a": row(offsets=(0, 6))}, 6), "BF16 [2] takes 4 bytes, data_offsets span 6"),
        (header({"a": row(offsets=(4, 0))}, 4), "are not a range"),
        (header({"a": row(offsets=(-4, 0))}, 4), "are not a range"),
        (header({"a": row(shape=(-2, -1))}, 4), "negative dimension"),
        (header({"a": row(dtype="F7")}, 4), "unknown dtype 'F7'"),
        (header({"a": row(shape="x")}, 4), "invalid safetensors header"),
        (header({"a": row(), "b": row(offsets=(2, 6))}, 6), "overlaps"),
        (header({"a": row(), "b": row(offsets=(6, 10))}, 10), "leaves a gap of 2 bytes"),
        (header({"a\x00": row(dtype="F7")}, 4), r"tensor a\x00"),
    ],
)
def test_a_bad_shard_file_is_reported_in_one_sentence(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(CkptfixError) as error:
        read(tmp_path)
    assert message in str(error.value)
    assert str(error.value).startswith("model.safetensors")
    assert "\n" not in str(error.value)


def indexed(directory: Path, weight_map: object, **files: bytes) -> Path:
    for name, data in files.items():
        (directory / f"{name}.safetensors").write_bytes(data)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return directory


def test_a_weight_and_its_scales_may_lie_in_different_shard_files(tmp_path: Path) -> None:
    tensors = fp8("a")
    weight_map = {"a.weight": "x.safetensors"} | dict.fromkeys(
        ("a.weight_scale", "a.input_scale"), "y.safetensors"
    )
    first = {"a.weight": tensors.pop("a.weight")}
    indexed(tmp_path, weight_map, x=safetensors_bytes(first), y=safetensors_bytes(tensors))
    table = read(tmp_path)
    assert set(table.tensors) == set(weight_map)
    assert not table.missing
    assert not table.unindexed


def test_index_and_headers_that_disagree_are_kept_as_facts(tmp_path: Path) -> None:
    weight_map = {"a.weight": "x.safetensors", "gone": "x.safetensors"}
    indexed(tmp_path, weight_map, x=safetensors_bytes(TWO))
    table = read(tmp_path)
    assert table.missing == (("gone", "x.safetensors"),)
    assert table.unindexed == (("b.weight", "x.safetensors"),)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../../etc/passwd", "does not name a .safetensors file"),
        ("../x.safetensors", "a file outside the checkpoint directory"),
        ("/x.safetensors", "a file outside the checkpoint directory"),
        ("y.safetensors", "names y.safetensors, which is missing"),
        (7, "does not name a .safetensors file"),
    ],
)
def test_an_index_cannot_lead_out_of_the_checkpoint(
    tmp_path: Path, file: object, message: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(TWO))
    indexed(inside, {"a.weight": file})
    with pytest.raises(CkptfixError) as error:
        read(inside)
    assert message in str(error.value)
    assert "/weight_map/a.weight" in str(error.value)


def test_a_link_out_of_the_checkpoint_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(safetensors_bytes(TWO))
    (inside / "model.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(CkptfixError, match="points outside the checkpoint"):
        read(inside)


def test_links_of_a_hub_cache_are_followed(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "0123").write_bytes(safetensors_bytes(TWO))
    (snapshot / "model.safetensors").symlink_to("../../blobs/0123")
    assert set(read(snapshot).tensors) == {"a.weight", "b.weight"}
    (blobs / "0123").unlink()
    with pytest.raises(CkptfixError, match=r"blob is missing .* cache; download the repository"):
        read(snapshot)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: (d / "model.safetensors").mkdir(), "not a regular file"),
        (lambda d: (d / "model.safetensors").symlink_to("model.safetensors"), "symlink loop"),
        (lambda d: (d / "model.safetensors").symlink_to("gone"), "broken symlink"),
        (lambda d: (d / "pytorch_model.bin").write_bytes(b"\x80\x02"), "pickled weights only"),
        (lambda d: (d / "model.gguf").write_bytes(b"GGUF"), "GGUF weights only"),
        (lambda _: None, "no .safetensors file"),
    ],
)
def test_no_weights_to_read(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path)
    with pytest.raises(CkptfixError, match=message):
        read(tmp_path)


def test_without_an_index_all_shard_files_are_read_and_may_not_repeat_a_tensor(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(bf16("a")))
    (tmp_path / "y.safetensors").write_bytes(safetensors_bytes(bf16("b")))
    assert set(read(tmp_path).tensors) == {"a.weight", "b.weight"}
    (tmp_path / "z.safetensors").write_bytes(safetensors_bytes(bf16("a")))
    with pytest.raises(CkptfixError, match=r"also stored in x\.safetensors"):
        read(tmp_path)
