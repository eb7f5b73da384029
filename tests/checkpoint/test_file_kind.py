"""A safetensors file is one whatever its first bytes look like, and anything else is named."""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.checkpoint.table_reading import read_tensors
from ckptfix.errors import CkptfixError
from tests.builders import bf16, fp8, mixed, safetensors_bytes, write_checkpoint
from tests.conftest import SHARED, Call

MAGICS = (
    *(bytes([0x80, protocol]) for protocol in range(2, 6)),
    b"\x1f\x8b\x08",
    b"PK\x03\x04",
)
"""What other files begin with and a header length can; that of GGUF is beyond the limit."""


def lengths(magic: bytes) -> Iterator[int]:
    """Header lengths whose low bytes are a magic: the shortest, and some with more above it."""
    step = 1 << 8 * len(magic)
    low = int.from_bytes(magic, "little")
    for above in (0, 1, 2, 0x28, 0x63, 0x7D):
        if low + above * step <= 100_000_000:
            yield low + above * step


LENGTHS = [(magic, length) for magic in MAGICS for length in lengths(magic)]
"""Beside those of one byte more: 640, 896, 1152 and 1408 of the pickles, 67,324,752 of the zip."""
CUTS = (8, 9, 23, 24, 25, 600)


def padded(length: int) -> bytes:
    """A shard file whose header is `length` bytes long: writers pad with blanks."""
    whole = safetensors_bytes(bf16("a", 4, 4))
    end = 8 + int.from_bytes(whole[:8], "little")
    return length.to_bytes(8, "little") + whole[8:end].ljust(length) + whole[end:]


def message(directory: Path, data: bytes) -> str:
    (directory / "model.safetensors").write_bytes(data)
    with pytest.raises(CkptfixError) as error:
        read_tensors(DirectorySource.open(str(directory)))
    return str(error.value)


@pytest.mark.parametrize(("magic", "length"), LENGTHS, ids=str)
def test_a_header_length_that_looks_like_a_magic(tmp_path: Path, magic: bytes, length: int) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(padded(length))
    assert file.read_bytes()[: len(magic)] == magic
    with safe_open(file, "np") as opened:
        names = set(opened.keys())
    assert set(read_tensors(DirectorySource.open(str(tmp_path))).tensors) == names == {"a.weight"}


@pytest.mark.parametrize("length", [n for _, n in LENGTHS if n < 100_000], ids=str)
def test_a_file_cut_behind_such_a_length_is_truncated(tmp_path: Path, length: int) -> None:
    data = padded(length)
    for size in CUTS:
        need = f"truncated: the header needs {8 + length} bytes, but the file has only {size}"
        assert need in message(tmp_path, data[:size])
    assert "truncated: 4 bytes" in message(tmp_path, data[:4])


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": [1]}, protocol=2))
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "what", "advice"),
    [
        (b"", "an empty file", "download the file again"),
        (bytes(4096), "zero bytes", "download the file again"),
        *((pickle.dumps({"a": [1]}, p), "a pickle", "never unpickles") for p in range(2, 6)),
        *((pickle.dumps(None, p), "a pickle", "never unpickles") for p in range(2, 6)),
        (zipped(), "a pickle (PyTorch zip archive)", "never unpickles"),
        (b"GGUF\x03\x00\x00\x00" + bytes(64), "a GGUF file", "reads safetensors only"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file", "reads safetensors only"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "run git lfs pull"),
        (b"<!DOCTYPE html>\n<html><head><title>404", "an HTML page", "log in"),
        (b"\xef\xbb\xbf\r\n  <HTML>", "an HTML page", "log in"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML", "log in"),
        (b'{"error": "Repository not found"}', "plain text", "log in"),
        (b"Entry not found", "plain text", "log in"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_safetensors_file_is_named(
    tmp_path: Path, data: bytes, what: str, advice: str
) -> None:
    sentence = message(tmp_path, data)
    assert sentence.startswith(f"model.safetensors: not a safetensors file but {what}")
    assert advice in sentence


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ((0).to_bytes(8, "little") + b"{}", "the header would be 0 bytes long"),
        ((1).to_bytes(8, "little") + b"{}", "the header would be 1 bytes long"),
        (
            (896).to_bytes(8, "little") + b"[]",
            "896 bytes long and begin with byte 0x5b, not with {",
        ),
        (b"\x00\x01\x02", "truncated: 3 bytes"),
    ],
)
def test_what_cannot_be_named_is_refused(tmp_path: Path, data: bytes, what: str) -> None:
    assert what in message(tmp_path, data)


def findings(call: Call, directory: Path) -> list[object]:
    """What does not depend on a release: it would miss the rest of the model."""
    shown = call("check", directory, "--ignore", "CKF7", "--json").stdout
    found: list[object] = json.loads(shown)["checkpoints"][0]["findings"]
    return found


def test_a_whole_checkpoint_with_such_a_header(tmp_path: Path, call: Call) -> None:
    made = write_checkpoint(tmp_path / "c", fp8("m.a"), mixed({"m.a": "FP8"}))
    assert findings(call, made) == []
    shard = made / "model.safetensors"
    end = 8 + int.from_bytes(shard.read_bytes()[:8], "little")
    header, data = shard.read_bytes()[8:end], shard.read_bytes()[end:]
    shard.write_bytes((896).to_bytes(8, "little") + header.ljust(896) + data)
    assert shard.read_bytes()[:2] == b"\x80\x03"
    assert findings(call, made) == []
    assert call("rewrite", made, "--tensors", "--map", "m=n").returncode == 0
    assert findings(call, made) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize(
    "name",
    [*(f"header-{length}-bytes" for length in (640, 896, 1152, 1408)), "header-896-whole"],
)
def test_the_cases(call: Call, name: str) -> None:
    for command in ("check", "inspect"):
        done = call(command, SHARED / "cases" / name)
        assert (done.returncode in (0, 1), done.stderr) == (True, "")
