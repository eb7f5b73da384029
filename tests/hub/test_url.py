"""fsspec URLs: memory, and an S3 server of its own process (moto)."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import fsspec
import pytest

from ckptfix.remote.url import UrlSource
from tests.builders import fp8
from tests.conftest import DATA, Call, Run
from tests.hub.repositories import declared_blob

NANO_VL = DATA / "nanovl-mixed-sharded-split"
SHARD = "model-00003-of-00017.safetensors"


@pytest.fixture
def memory() -> Iterator[str]:
    """A checkpoint in memory."""
    file_system = fsspec.filesystem("memory")
    for path in NANO_VL.iterdir():
        file_system.pipe_file(f"/bucket/nano/{path.name}", path.read_bytes())
    yield "memory://bucket/nano"
    file_system.rm("/bucket", recursive=True)


def test_a_checkpoint_in_memory_is_reported_as_the_directory(call: Call, memory: str) -> None:
    there, here = call("check", memory), call("check", NANO_VL)
    assert there.returncode == here.returncode == 1
    assert there.stderr == ""

    def findings(shown: str, rewrite: str) -> str:
        found = shown.partition("\n\n")[2].partition("; 38 errors")[0].rpartition("\n")[0]
        return found.replace(rewrite, "THIS")

    of_memory = findings(there.stdout, f"ckptfix rewrite {memory} --output DIR")
    assert of_memory == findings(here.stdout, f"ckptfix rewrite {NANO_VL}")
    assert "fix: run THIS\n" in of_memory
    assert f"ckptfix rewrite {memory} --output DIR" in there.stdout
    assert "--create-pr" not in there.stdout


def test_the_repaired_files_of_a_url(call: Call, memory: str, tmp_path: Path) -> None:
    done = call("rewrite", memory, "--output", tmp_path / "out")
    assert done.returncode == 0
    assert b"language_model.backbone" not in (tmp_path / "out/hf_quant_config.json").read_bytes()
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_only_headers_are_read(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    source = UrlSource.open(memory)
    cat_file = type(source.file_system).cat_file

    def counted(*arguments: object, **ends: object) -> bytes:
        data: bytes = cat_file(*arguments, **ends)
        read.append(len(data))
        return data

    monkeypatch.setattr(type(source.file_system), "cat_file", counted)
    assert source.read_range(SHARD, 0, 24)[8:9] == b"{"
    assert read == [24]
    end = source.size(SHARD)
    assert len(source.read_range(SHARD, end - 3, 100)) == 3


def test_a_file_that_got_shorter_is_noticed(memory: str) -> None:
    source = UrlSource.open(memory)
    assert source.has(SHARD)
    source.file_system.pipe_file(f"/bucket/nano/{SHARD}", b"x")
    with pytest.raises(Exception, match="changed while being read"):
        source.read_range(SHARD, 0, 24)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nowhere", "error: memory://nowhere: nothing found"),
        (
            "nosuch://x/y",
            "error: nosuch://x/y: fsspec has no driver for nosuch://; use a directory",
        ),
        ("memory://bucket/nano --offline", "error: memory://bucket/nano: URLs are never cached"),
        ("memory://bucket/nano --revision v1", "error: --revision only works for Hub repositories"),
    ],
)
def test_a_url_that_cannot_be_read(call: Call, memory: str, url: str, message: str) -> None:
    assert memory
    done = call("inspect", *url.split())
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://127.0.0.1:1/x"])
def test_a_web_server_without_its_packages_is_reported_with_what_to_install(
    url: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    done = call("check", url)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {url}: ")
    assert done.stderr.endswith("; pip install 'fsspec[http]'\n")


def test_a_server_that_cannot_be_reached_is_reported_without_the_words_of_a_library(
    call: Call,
) -> None:
    pytest.importorskip("aiohttp")
    done = call("check", "http://127.0.0.1:1/x")
    assert done.returncode == 2
    assert "Error" not in done.stderr
    assert done.stderr.endswith("; check the URL, the network and the credentials\n")


def test_a_driver_that_is_not_installed_is_named(run: Run) -> None:
    done = run("inspect", "gs://bucket/nano")
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("pip install 'ckptfix[gs]'")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment of a client of an S3 server on loopback."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = None
        while address is None:
            line = server.stderr.readline()
            assert line, "the server has gone"
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
        yield {
            "AWS_ENDPOINT_URL": address[0],
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
        server.terminate()


def put(s3: dict[str, str], path: str, data: bytes = b"") -> None:
    """Without a signature, which the server does not ask for."""
    headers = {"Content-Type": "application/octet-stream"}
    request = Request(f"{s3['AWS_ENDPOINT_URL']}/{path}", data, headers, method="PUT")
    urlopen(request, timeout=20).close()


def test_a_checkpoint_on_s3(run: Run, call: Call, s3: dict[str, str]) -> None:
    put(s3, "models")
    for path in NANO_VL.iterdir():
        put(s3, f"models/nano/{path.name}", path.read_bytes())
    put(s3, "models/cut/config.json", b"{}")
    put(s3, "models/cut/model.safetensors", declared_blob(fp8("m.a")).head)
    there = run("inspect", "s3://models/nano", **s3)
    assert (there.returncode, there.stderr) == (0, "")
    here = call("inspect", NANO_VL)
    assert there.stdout == here.stdout.replace(str(NANO_VL), "s3://models/nano")
    several = run("check", "s3://models/nano", "s3://models/cut", "s3://models/none", **s3)
    assert several.returncode == 2
    assert "3 checkpoints: 1 not loaded, 2 failed" in several.stdout
    errors = sorted(several.stderr.splitlines())
    assert errors[0].startswith(
        "error: s3://models/cut/model.safetensors tensor m.a.weight: data ends"
    )
    assert errors[1] == "error: s3://models/none: nothing found; check the URL"
