"""`check` and `inspect` of a repository: what is moved, what is kept, what needs no request."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from ckptfix.checkpoint.source import in_hub_blobs
from ckptfix.remote.hub import FIRST_BYTES
from tests.builders import Shapes, bf16, nvfp4
from tests.cases.packed import write
from tests.cases.test_mistral import CASES
from tests.conftest import DATA, Call
from tests.hub.conftest import HubRun
from tests.hub.repositories import Blob, blobs_of, declared_blob, with_longer_header
from tests.hub.state import Fault, Hub

NANO_VL = DATA / "nanovl-mixed-sharded-split"
SHARDS = 60


def big_repository() -> dict[str, Blob]:
    """60 GB in 60 shard files, as their headers declare; nobody could download it here."""
    files: dict[str, Blob] = {}
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        tensors: Shapes = bf16("lm_head", 4096, 4096) if shard == 0 else {}
        for layer in range(170):
            name = f"model.layers.{shard}.mlp.experts.{layer}.down_proj"
            tensors |= nvfp4(name, 4096, 2816)
        file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        files[file] = declared_blob(tensors)
        weight_map |= dict.fromkeys(tensors, file)
    quantization = {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "quantization_config": quantization | {"ignore": ["lm_head"]},
    }
    files["config.json"] = Blob.of(json.dumps(config).encode())
    index = {"weight_map": weight_map, "metadata": {}}
    files["model.safetensors.index.json"] = Blob.of(json.dumps(index).encode())
    return files


def requests_for(hub: Hub, repository: str) -> list[str]:
    """Without those that huggingface_hub makes for itself."""
    return [path for _, path in hub.requests if repository in path]


def test_60_gb_are_checked_for_one_request_and_a_few_kb_each(hub: Hub, hub_run: HubRun) -> None:
    files = big_repository()
    hub.add("org/big", files)
    shards = {name: blob for name, blob in files.items() if name.endswith(".safetensors")}
    assert sum(blob.size for blob in shards.values()) > 60e9
    done = hub_run("check", "org/big")
    # Experts alone are no model: no release loads them.
    assert (done.returncode, done.stderr) == (1, "")
    assert "org/big: does not load on vllm 0.33.0 and sglang 0.5.23" in done.stdout
    # A first request for exactly the length of a header, and a second one for the header, would
    # move less, and take twice as long.
    headers = sum(max(len(blob.head), FIRST_BYTES) for blob in shards.values())
    assert sum(hub.bodies[name] for name in shards) == headers
    assert hub.bodies["config.json"] == files["config.json"].size
    # The revision, the two JSON files and the shard files, each file with its redirect.
    assert len(requests_for(hub, "org/big")) == 1 + 2 * (2 + SHARDS)
    # All that went over the wire, status lines and redirects too: a few MB.
    assert hub.wire < 1.1 * (headers + sum(len(files[n].head) for n in files if n not in shards))


def test_what_is_read_beyond_a_header_is_not_kept(
    hub: Hub, hub_call: Call, environment: dict[str, str]
) -> None:
    files = blobs_of(DATA / "nanovl-fp8")
    hub.add("org/nano", files)
    assert hub_call("inspect", "org/nano").returncode == 0
    assert len(requests_for(hub, "org/nano")) == 1 + 2 * len(files)
    (head,) = Path(environment["XDG_CACHE_HOME"]).rglob("heads/*")
    start = files["model.safetensors"].head
    assert head.read_bytes() == start[: 8 + int.from_bytes(start[:8], "little")]


def test_a_header_longer_than_the_first_request_takes_a_second_one(
    hub: Hub, hub_call: Call
) -> None:
    files = blobs_of(DATA / "nanovl-fp8")
    longer = with_longer_header(files["model.safetensors"], 2 * FIRST_BYTES)
    hub.add("org/nano", files | {"model.safetensors": longer})
    hub.add("org/short", files)
    there, short = hub_call("inspect", "org/nano"), hub_call("inspect", "org/short")
    assert there.stdout == short.stdout.replace("org/short", "org/nano")
    header = 8 + int.from_bytes(longer.head[:8], "little")
    assert hub.bodies["model.safetensors"] == header + min(longer.size, FIRST_BYTES)


def test_the_report_is_that_of_the_directory(hub: Hub, hub_call: Call) -> None:
    hub.add("org/nano", blobs_of(NANO_VL))
    there = hub_call("inspect", "org/nano")
    here = hub_call("inspect", NANO_VL)
    assert there.returncode == here.returncode == 0
    assert there.stdout == here.stdout.replace(str(NANO_VL), "org/nano")
    assert there.stderr == ""


def test_a_private_repository_is_not_read_without_a_token(hub: Hub, hub_call: Call) -> None:
    hub.add("org/nano", blobs_of(NANO_VL), readers=frozenset({"hf_reader"}))
    refused = hub_call("check", "org/nano")
    assert refused.returncode == 2
    assert "no such repository on the Hub (or you have no access)" in refused.stderr


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: Hub, hub_run: HubRun) -> None:
    hub.add("org/nano", blobs_of(NANO_VL), readers=frozenset({"hf_reader"}))
    done = hub_run("inspect", "org/nano", HF_TOKEN="hf_reader")
    assert done.returncode == 0, done.stderr
    assert hub.tokens_at_storage == []


def test_what_was_fetched_is_kept_by_commit(hub: Hub, hub_call: Call) -> None:
    repository = hub.add("org/nano", blobs_of(NANO_VL))
    first = hub_call("check", "org/nano")
    hub.requests.clear()
    hub.bodies.clear()
    again = hub_call("check", "org/nano")
    assert again == first
    assert not hub.bodies
    assert [path for _, path in hub.requests if "resolve" in path] == []
    # The branch moves: the answer is of the new commit.
    repository.commit(blobs_of(DATA / "nanovl-fp8"))
    hub_call("check", "org/nano")
    assert hub.bodies["config.json"]


def test_offline_answers_from_what_was_fetched(hub: Hub, hub_run: HubRun, hub_call: Call) -> None:
    repository = hub.add("org/nano", blobs_of(NANO_VL))
    message = "not cached, and --offline or HF_HUB_OFFLINE forbids requests"
    never = hub_call("inspect", "org/nano", "--offline")
    assert (never.returncode, message in never.stderr) == (2, True)
    online = hub_call("inspect", "org/nano")
    hub.requests.clear()
    assert hub_call("inspect", "org/nano", "--offline").stdout == online.stdout
    assert hub_run("inspect", "org/nano", HF_HUB_OFFLINE="1").stdout == online.stdout
    commit = repository.refs["main"]
    by_commit = hub_call("inspect", f"org/nano@{commit}", "--offline")
    assert by_commit.stdout.replace(f"@{commit}", "") == online.stdout
    assert hub.requests == []


def test_a_file_that_was_not_fetched_is_missed_offline(
    hub: Hub, hub_call: Call, environment: dict[str, str]
) -> None:
    hub.add("org/nano", blobs_of(NANO_VL))
    hub_call("inspect", "org/nano")
    for heads in Path(environment["XDG_CACHE_HOME"]).rglob("heads"):
        shutil.rmtree(heads)
    done = hub_call("inspect", "org/nano", "--offline")
    assert done.returncode == 2
    assert "safetensors: not cached, and --offline forbids requests" in done.stderr


def test_a_cache_that_cannot_be_written_is_no_error(
    hub: Hub, hub_call: Call, environment: dict[str, str]
) -> None:
    hub.add("org/nano", blobs_of(NANO_VL))
    Path(environment["XDG_CACHE_HOME"]).touch()
    assert hub_call("inspect", "org/nano").returncode == 0


def test_a_commit_that_is_none_names_no_folder(hub: Hub, hub_call: Call) -> None:
    repository = hub.add("org/nano", blobs_of(NANO_VL))
    repository.commits["../.."] = repository.commits[repository.refs["main"]]
    repository.refs["main"] = "../.."
    done = hub_call("inspect", "org/nano")
    assert done.returncode == 2
    assert "lacks a commit" in done.stderr


def test_a_snapshot_in_the_local_cache_needs_no_request(
    hub: Hub, hub_call: Call, environment: dict[str, str]
) -> None:
    repository = hub.add("org/nano", blobs_of(NANO_VL))
    cache = Path(environment["HF_HOME"]) / "hub"
    snapshot = Path(snapshot_download("org/nano", cache_dir=cache, endpoint=hub.url))
    hub.requests.clear()
    done = hub_call("inspect", "org/nano")
    assert done.stdout == hub_call("inspect", NANO_VL).stdout.replace(str(NANO_VL), "org/nano")
    commit = repository.refs["main"][:12]
    assert done.stderr.rpartition("\r")[2].endswith(
        f"note: org/nano: read from the local cache, commit {commit}; "
        "use --refresh to query the Hub for the newest\n"
    )
    assert hub_call("inspect", "org/nano", "--offline").returncode == 0
    assert hub.requests == []
    # A snapshot that lacks a shard file is none.
    (snapshot / "model-00003-of-00017.safetensors").unlink()
    assert hub_call("inspect", "org/nano").stderr == ""
    assert hub.requests


def test_refresh_queries_the_hub_despite_a_snapshot(
    hub: Hub, hub_call: Call, environment: dict[str, str]
) -> None:
    repository = hub.add("org/nano", blobs_of(NANO_VL))
    snapshot_download("org/nano", cache_dir=Path(environment["HF_HOME"]) / "hub", endpoint=hub.url)
    repository.commit(blobs_of(DATA / "nanovl-fp8"))
    old, new = hub_call("inspect", "org/nano"), hub_call("inspect", "org/nano", "--refresh")
    assert "17 shard files" in old.stdout
    assert "1 shard file" in new.stdout


def test_blobs_that_repositories_share_belong_to_the_cache(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "ab" / ("ab" + 62 * "0")
    blob.parent.mkdir(parents=True)
    blob.touch()
    assert not in_hub_blobs(blob)
    (tmp_path / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    assert in_hub_blobs(blob)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["config.json", "model.gguf"], "GGUF weights only and no .safetensors file"),
        (["config.json", "pytorch_model.bin"], "pickled weights only and no .safetensors file"),
        (["config.json"], "no .safetensors file"),
        (
            ["model.safetensors"],
            "found neither config.json nor hf_quant_config.json, nor params.json",
        ),
        (
            ["config.json", "model-00001-of-00002.safetensors"],
            "no model.safetensors.index.json; the file names declare 2 shards",
        ),
    ],
)
def test_what_is_not_a_safetensors_checkpoint_is_reported_as_such(
    hub: Hub, hub_call: Call, files: list[str], message: str
) -> None:
    real = blobs_of(DATA / "nanovl-mixed")
    hub.add("org/odd", {file: real.get(file, Blob.of(b"GGUF")) for file in files})
    done = hub_call("check", "org/odd")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: org/odd: {message}")
    assert done.stderr.count("\n") == 1


def test_a_file_in_a_subfolder_is_not_of_the_checkpoint(hub: Hub, hub_call: Call) -> None:
    files = blobs_of(DATA / "nanovl-mixed")
    hub.add("org/nano", files | {"original/model-00001-of-00002.safetensors": Blob.of(b"x")})
    assert "1 shard file" in hub_call("inspect", "org/nano").stdout


def test_mistrals_own_shard_file_in_a_subfolder_is_told(hub: Hub, hub_call: Call) -> None:
    files = blobs_of(DATA / "llama-nvfp4-tied")
    own = "original/consolidated.00.safetensors"
    for name, there, code in (("org/one", {}, 0), ("org/two", {own: Blob.of(b"x")}, 1)):
        hub.add(name, files | there)
        done = hub_call("check", name, "--runtime", "vllm==0.33.0")
        assert (done.returncode, f"there is {own}" in " ".join(done.stdout.split())) == (
            code,
            bool(there),
        )


def test_a_hostile_name_does_not_reach_the_terminal(hub: Hub, hub_call: Call) -> None:
    files = blobs_of(DATA / "nanovl-mixed")
    hub.add("org/nano", files | {"a\x1b[31m.png": Blob.of(b"x")})
    assert hub_call("inspect", "org/nano").returncode == 0
    hub.add("org/evil", files | {"a\x1b[31m.safetensors": Blob.of(b"x")})
    hub.faults.append(
        Fault("org/warn", 500, {"X-HF-Warning": "a; \x1b[31mred", "X-Error-Message": "\x1b[31m"})
    )
    for name in ("org/evil", "org/warn"):
        done = hub_call("inspect", name)
        assert done.returncode == 2
        assert "\x1b" not in done.stdout + done.stderr


def test_a_local_command_imports_no_client(hub_run: HubRun) -> None:
    done = hub_run("inspect", DATA / "nanovl-mixed", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ckptfix.remote.reference" in imported
    clients = {"huggingface_hub", "requests", "httpx", "httpx2", "fsspec"}
    assert not imported & (clients | {"rich"})


def test_a_repository_in_mistrals_own_format_is_read_by_its_own_files(
    hub: Hub, hub_run: HubRun, tmp_path: Path
) -> None:
    directory = write(CASES["sharded"], tmp_path / "sharded")
    hub.add("org/own", blobs_of(directory))
    done = hub_run("check", "org/own", "--runtime", "vllm==0.33.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "vllm 0.33.0  yes" in done.stdout
    # The revision, params.json, the index and two shard files, each file with its redirect.
    assert len(requests_for(hub, "org/own")) == 1 + 2 * 4
