"""A server that is slow, refuses, cuts, lies: retried where that helps, else one sentence."""

import subprocess

import pytest

from ckptfix.remote.hub import FIRST_BYTES
from tests.builders import Shapes, nvfp4
from tests.conftest import DATA, Call, Called
from tests.hub.conftest import HubRun
from tests.hub.repositories import Blob, blobs_of, declared_blob, with_longer_header
from tests.hub.state import Fault, Hub

NANO = blobs_of(DATA / "nanovl-mixed-sharded-split")
SHARD = "model-00003-of-00017.safetensors"


def one_sentence(done: Called | subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2
    assert done.stderr.startswith("error: org/nano")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


PASSING = [
    Fault("blobs=true", 500, times=2),
    Fault("blobs=true", 429, {"Retry-After": "0"}, times=1),
    Fault("config.json", 503, times=2),
    Fault(SHARD, 429, {"RateLimit": '"api";r=0;t=0'}, times=1),
    Fault(SHARD, 502, times=2),
    Fault(f"{SHARD}?signature", 403, times=1),
    Fault(f"{SHARD}?signature", cut_after=100, times=2),
    Fault("resolve-cache/models/org/nano", cut_after=10, times=2),
    Fault(SHARD, silence=1.5, times=1),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda f: f"{f.where}-{f.status}-{f.cut_after}")
def test_a_failure_that_passes_is_not_noticed(hub: Hub, hub_call: Call, fault: Fault) -> None:
    files = NANO
    if fault.status == 403:  # a signed location that has run out, after the first bytes came
        hub.faults.append(Fault(f"{SHARD}?signature", times=1))
        files = NANO | {SHARD: with_longer_header(NANO[SHARD], FIRST_BYTES)}
    hub.add("org/nano", files)
    hub.faults.append(fault)
    done = hub_call("inspect", "org/nano")
    assert (done.returncode, done.stderr) == (0, "")
    assert fault.times == 0


LASTING = [
    (Fault("blobs=true", 500), "server error (HTTP 500); try again later"),
    (Fault(SHARD, 503), "server error (HTTP 503); try again later"),
    (Fault("blobs=true", 429, {"Retry-After": "3600"}), "retry after 3600 seconds"),
    (Fault(SHARD, 429), "rate-limited by the Hub; try again later"),
    (Fault(f"{SHARD}?signature", cut_after=100), "the server closed the connection"),
    (Fault(SHARD, silence=30), "the server did not answer in time"),
    (Fault(f"{SHARD}?signature", pause=0.2), "the server is too slow: "),
    (Fault("config.json", 403), "the Hub denied access (HTTP 403)"),
    (
        Fault("blobs=true", 403, {"X-Error-Message": "Access to this resource is disabled."}),
        "disabled",
    ),
    (
        Fault("blobs=true", 200),
        "the server did not answer like a Hugging Face Hub; HF_ENDPOINT must",
    ),
    (Fault("blobs=true", 418), "unexpected HTTP status 418"),
    (Fault("blobs=true", 404, {"X-Error-Code": "RevisionNotFound"}), "has no such revision"),
    (Fault("config.json", 404, {"X-Error-Code": "EntryNotFound"}), "a file that it does not have"),
]


@pytest.mark.parametrize(("fault", "message"), LASTING, ids=[message for _, message in LASTING])
def test_a_failure_that_lasts_is_one_sentence(
    hub: Hub, hub_call: Call, monkeypatch: pytest.MonkeyPatch, fault: Fault, message: str
) -> None:
    if fault.silence:
        monkeypatch.setenv("CKPTFIX_RETRIES", "0")
    hub.add("org/nano", NANO)
    hub.faults.append(fault)
    one_sentence(hub_call("inspect", "org/nano"), message)


def test_what_cannot_be_read(hub: Hub, hub_call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/gated", NANO, gated=True)
    hub.add("org/nano", NANO)
    gated = hub_call("check", "org/gated").stderr
    assert gated.startswith(
        "error: org/gated: this repository is gated and you have no access; request access"
    )
    missing = hub_call("check", "org/nowhere").stderr
    assert missing.startswith("error: org/nowhere: no such local directory, and no such repository")
    revision = hub_call("inspect", "org/nano", "--revision", "nowhere").stderr
    assert revision == "error: org/nano@nowhere: the repository has no such revision\n"
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    assert "gated and you have no access" in hub_call("check", "org/gated").stderr


def test_no_server_at_all(hub_run: HubRun) -> None:
    done = hub_run("inspect", "org/nano", HF_ENDPOINT="http://127.0.0.1:9", CKPTFIX_RETRIES="0")
    one_sentence(done, "cannot connect to the server")


def test_a_proxy_that_is_not_there(hub_run: HubRun) -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    done = hub_run("inspect", "org/nano", **proxy, CKPTFIX_RETRIES="0")
    one_sentence(done, "Connection refused")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),  # needs a package that nobody has installed
        ("HF_ENDPOINT", "http://["),
        ("HF_ENDPOINT", "nonsense"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "ten"),
    ],
)
def test_an_environment_that_the_client_rejects(hub_run: HubRun, variable: str, value: str) -> None:
    more = {"NO_PROXY": "", "CKPTFIX_RETRIES": "0", variable: value}
    done = hub_run("inspect", "org/nano", **more)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def big_file() -> Blob:
    """5 GB by its header, which does not come with the first request."""
    tensors: Shapes = {}
    for number in range(200):
        tensors |= nvfp4(f"model.layers.{number}.mlp.down_proj", 8192, 5632)
    return with_longer_header(declared_blob(tensors), FIRST_BYTES)


@pytest.fixture
def big(hub: Hub) -> Blob:
    blob = big_file()
    assert blob.size > 5e9
    hub.add("org/nano", {"config.json": NANO["config.json"], "model.safetensors": blob})
    return blob


def test_a_server_that_ignores_range_is_not_listened_to(
    hub: Hub, hub_call: Call, big: Blob
) -> None:
    hub.faults.append(Fault("?signature", ignores_range=True))
    done = hub_call("inspect", "org/nano")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: org/nano/model.safetensors: the server ignores range requests and would send the "
        "whole file (5.2 GB); nothing was read"
    )
    # What the sockets between the two hold, no more.
    assert hub.bodies["model.safetensors"] < big.size / 100


@pytest.mark.parametrize("where", ["X-Linked-ETag", "ETag"])
def test_a_file_that_changes_between_two_requests_is_noticed(
    hub: Hub, hub_call: Call, big: Blob, where: str
) -> None:
    del big
    if where == "ETag":  # the storage says so: the second request goes straight to it
        hub.faults += [Fault("?signature", times=1), Fault("?signature", headers={"ETag": '"b"'})]
        hub.faults[0].headers = {"ETag": '"a"'}
    else:  # the first location runs out, and the Hub answers with that of another file
        hub.faults += [Fault("?signature", times=1), Fault("?signature", 403, times=1)]
        original = hub.repositories["org/nano"]
        files = original.commits[original.refs["main"]]
        changed = Blob(files["model.safetensors"].head + b" ", files["model.safetensors"].size)

        def switch(method: str, path: str) -> Fault | None:
            fault = Hub.fault_for(hub, method, path)
            if fault is not None and fault.status == 403:
                files["model.safetensors"] = changed
            return fault

        hub.fault_for = switch  # type: ignore[method-assign]
    done = hub_call("inspect", "org/nano")
    assert done.returncode == 2
    assert done.stderr == (
        "error: org/nano/model.safetensors: changed on the server while being read: its ETag "
        "changed; run again\n"
    )


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        (1 << 40, "not a safetensors file: the header would be 1099511627776 bytes long"),
        (99_000_000, "truncated: the header needs 99000008 bytes, but the file has only"),
        (10, "the safetensors header is not valid JSON"),
    ],
)
def test_a_header_that_lies_about_its_length(
    hub: Hub, hub_call: Call, claimed: int, message: str
) -> None:
    honest = NANO[SHARD].head
    lie = Blob.of(claimed.to_bytes(8, "little") + honest[8:])
    hub.add("org/nano", NANO | {SHARD: lie})
    done = hub_call("inspect", "org/nano")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: org/nano/{SHARD}: {message}")
    assert hub.bodies[SHARD] <= len(honest)


def test_a_server_that_sends_the_pointer_and_not_the_file(
    hub: Hub, hub_call: Call, big: Blob
) -> None:
    repository = hub.repositories["org/nano"]
    files = repository.commits[repository.refs["main"]]
    listed = hub_call("inspect", "org/nano", "--revision", "main")
    assert listed.returncode == 0
    sha = repository.commit(files | {"model.safetensors": Blob(big.head, big.size)})
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{big.sha256}\nsize {big.size}\n"
    )

    def stored(method: str, path: str) -> Fault | None:
        if method == "GET" and "?signature" in path:
            repository.commits[sha]["model.safetensors"] = Blob.of(pointer.encode())
        return None

    hub.fault_for = stored  # type: ignore[method-assign]
    done = hub_call("inspect", "org/nano")
    assert done.returncode == 2
    assert "changed on the server while being read: it has" in done.stderr


def test_a_number_that_is_none(hub_call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTFIX_RETRIES", "often")
    done = hub_call("inspect", "org/nano")
    assert done.stderr == "error: CKPTFIX_RETRIES='often': expected a non-negative number\n"
