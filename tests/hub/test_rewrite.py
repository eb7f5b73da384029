"""`rewrite` of a repository: a directory, a pull request, or nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from ckptfix import __version__
from ckptfix.remote.hub import FIRST_BYTES
from tests.conftest import DATA, Call, files_of
from tests.fuzz.guard import assert_harmless
from tests.hub.conftest import HubRun
from tests.hub.repositories import Blob, blobs_of
from tests.hub.state import Fault, Hub

FOLDER = DATA / "nanovl-mixed-sharded-split"
NANO_VL = blobs_of(FOLDER) | {"README.md": Blob.of(b"# Nano\n"), "nested/x.json": Blob.of(b"{}")}


def test_the_pull_request_makes_the_repository_clean(
    hub: Hub, hub_run: HubRun, hub_call: Call
) -> None:
    repository = hub.add("org/nano", NANO_VL)
    assert hub_call("check", "org/nano").returncode == 1
    done = hub_run("rewrite", "org/nano", "--create-pr", HF_TOKEN="hf_writer")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [
        f"opened {hub.url}/org/nano/discussions/1",
        "check it with: ckptfix check org/nano@refs/pr/1",
    ]
    checked = hub_call("check", "org/nano@refs/pr/1", "--runtime", "vllm>=0.17")
    assert checked.returncode == 0
    assert checked.stdout.endswith("org/nano@refs/pr/1: clean\n")

    before = repository.commits[repository.refs["main"]]
    after = repository.commits[repository.refs["refs/pr/1"]]
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"config.json", "hf_quant_config.json"}
    assert set(after) == set(before)
    ((title, body),) = repository.pull_requests
    assert title.startswith("Correct module names in config.json and hf_quant_config.json: rename ")
    assert "| CKF101 | module name uses the checkpoint spelling" in body
    assert "| vllm 0.17.0 to 0.19.1 | no, stops while loading: 10 of 23 modules" in body
    assert "findings in metadata and tensors: 36 before, 0 after" in body
    assert f"ckptfix {__version__} from commit {repository.refs['main'][:12]}" in body


def test_the_dry_run_shows_the_patch_and_the_body_and_sends_nothing(
    hub: Hub, hub_call: Call, tmp_path: Path
) -> None:
    hub.add("org/nano", NANO_VL)
    done = hub_call("rewrite", "org/nano", "--create-pr", "--dry-run")
    assert done.returncode == 0
    assert "title: Correct module names in config.json" in done.stderr
    assert "## Affected runtimes" in done.stderr
    assert {method for method, _ in hub.requests} == {"GET"}
    for name in ("config.json", "hf_quant_config.json"):
        (tmp_path / name).write_bytes(NANO_VL[name].head)
    apply = ["git", "apply", "--unsafe-paths", "-"]
    subprocess.run(apply, input=done.stdout, text=True, check=True, cwd=tmp_path)
    assert "language_model.backbone" not in (tmp_path / "hf_quant_config.json").read_text()


def test_a_pull_request_does_not_act_on_the_runner_that_shows_it(
    hub: Hub, hub_call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    config = json.loads(NANO_VL["config.json"].head)
    config["quantization_config"]["ignore"] += ["::error::x", "##[error]x", "##vso[a.b]x"]
    data = json.dumps(config, indent=4).encode()
    repository = hub.add("org/nano", NANO_VL | {"config.json": Blob.of(data)})
    shown = hub_call("rewrite", "org/nano", "--create-pr", "--dry-run").stderr
    assert "CKF105" in shown
    assert_harmless(shown)
    assert hub_call("rewrite", "org/nano", "--create-pr").returncode == 0
    ((_, body),) = repository.pull_requests
    assert r"- `\x23#[error]x`" in body
    assert_harmless(body)


def test_nothing_is_proposed_where_nothing_changes(
    hub: Hub, hub_call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    repository = hub.add("org/nano", NANO_VL)
    hub_call("rewrite", "org/nano", "--create-pr")
    done = hub_call("rewrite", "org/nano@refs/pr/1", "--create-pr")
    assert done.returncode == 0
    assert "org/nano@refs/pr/1: nothing to rename" in done.stderr
    assert len(repository.pull_requests) == 1


def test_the_plan_is_made_from_what_the_hub_has_now(
    hub: Hub, hub_call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    repository = hub.add("org/nano", NANO_VL)
    hub_call("rewrite", "org/nano", "--output", tmp_path / "first", "--with-weights")
    config = json.loads(NANO_VL["config.json"].head) | {"new": 1}
    repository.commit(NANO_VL | {"config.json": Blob.of(json.dumps(config).encode())})
    assert hub_call("rewrite", "org/nano", "--create-pr").returncode == 0
    proposed = repository.commits[repository.refs["refs/pr/1"]]["config.json"]
    assert json.loads(proposed.head)["new"] == 1


REFUSALS = [
    ("", None, "error: org/nano: a pull request needs a Hub token; log in with hf auth login"),
    (
        "hf_reader",
        None,
        "error: org/nano: the Hub refused the pull request (HTTP 403: Forbidden",
    ),
    (
        "hf_writer",
        Fault("/commit/", 500, method="POST"),
        "error: org/nano: server error (HTTP 500); check org/nano/discussions to see whether",
    ),
    (
        "hf_writer",
        Fault("/commit/", silence=5, method="POST"),
        "error: org/nano: the server did not answer in time",
    ),
    (
        "hf_writer",
        Fault("/commit/", 429, {"Retry-After": "900"}, method="POST"),
        "error: org/nano: rate-limited by the Hub, retry after 900",
    ),
]


@pytest.mark.parametrize(("token", "fault", "message"), REFUSALS, ids=[r[2] for r in REFUSALS])
def test_a_pull_request_that_is_not_taken(
    hub: Hub,
    hub_call: Call,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    fault: Fault | None,
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    repository = hub.add("org/nano", NANO_VL)
    hub.faults += [fault] if fault else []
    done = hub_call("rewrite", "org/nano", "--create-pr")
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert repository.pull_requests == []
    assert sum("/commit/" in path for _, path in hub.requests) <= 1


def test_a_commit_that_is_refused_for_their_number_is_sent_again(
    hub: Hub, hub_call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    repository = hub.add("org/nano", NANO_VL)
    hub.faults.append(Fault("/commit/", 429, {"Retry-After": "0"}, times=1, method="POST"))
    assert hub_call("rewrite", "org/nano", "--create-pr").returncode == 0
    assert len(repository.pull_requests) == 1


def test_an_output_without_weights(hub: Hub, hub_call: Call, tmp_path: Path) -> None:
    hub.add("org/nano", NANO_VL)
    target = tmp_path / "out"
    done = hub_call("rewrite", "org/nano", "--output", target)
    assert done.returncode == 0
    copied = {name for name in NANO_VL if not name.endswith(".safetensors") and "/" not in name}
    assert done.stdout.splitlines()[:2] == [
        f"made {target}: {len(copied)} files copied",
        "17 files not copied; use --with-weights to fetch them",
    ]
    assert set(files_of(target)) == copied
    assert b"language_model.backbone" not in (target / "hf_quant_config.json").read_bytes()
    assert (target / "README.md").read_bytes() == b"# Nano\n"
    shards = {name: blob.size for name, blob in NANO_VL.items() if name.endswith(".safetensors")}
    assert all(hub.bodies[name] <= min(size, FIRST_BYTES) for name, size in shards.items())


def test_an_output_with_weights_is_a_checkpoint(hub: Hub, hub_call: Call, tmp_path: Path) -> None:
    hub.add("org/nano", NANO_VL)
    target = tmp_path / "out"
    done = hub_call("rewrite", "org/nano", "--output", target, "--with-weights")
    assert done.returncode == 0
    assert "17 weight files by" in done.stdout
    assert hub_call("check", target, "--runtime", "vllm>=0.17").returncode == 0
    for name in (n for n in NANO_VL if n.endswith(".safetensors")):
        assert (target / name).read_bytes() == (FOLDER / name).read_bytes()


def test_tensors_are_renamed_in_an_output_with_weights_alone(
    hub: Hub, hub_call: Call, tmp_path: Path
) -> None:
    hub.add("org/native", blobs_of(DATA / "nemotronh-moe-super-nulbug"))
    rename = ("rewrite", "org/native", "--tensors", "--output", tmp_path / "out")
    done = hub_call(*rename)
    assert (done.returncode, (tmp_path / "out").exists()) == (2, False)
    assert done.stderr == (
        "error: --tensors changes shard files, but those of org/native are not downloaded; "
        "set --with-weights\n"
    )
    assert hub_call(*rename, "--with-weights").returncode == 0
    assert hub_call("check", tmp_path / "out", "--runtime", "vllm>=0.20").returncode == 0


def test_weights_that_cannot_be_had_leave_nothing(hub: Hub, hub_call: Call, tmp_path: Path) -> None:
    hub.add("org/nano", NANO_VL)
    hub_call("inspect", "org/nano")
    hub.faults.append(Fault("?signature", 404))
    done = hub_call("rewrite", "org/nano", "--output", tmp_path / "out", "--with-weights")
    assert done.returncode == 2
    assert done.stderr.rpartition("\r")[2].count("\n") <= 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["org/nano"],
            "org/nano: cannot be rewritten in place; use --output DIR to write the repair",
        ),
        (["memory://x", "--create-pr"], "memory://x: nothing found"),
        (["org/nano", "--undo"], "--undo only works for directories, not for org/nano"),
        (["org/nano", "--create-pr", "--offline"], "--create-pr cannot be used with --offline"),
        (["org/nano", "--create-pr", "--output", "x"], "--create-pr cannot be used with --output"),
        (["org/nano", "--create-pr", "--tensors"], "--create-pr cannot be used with --tensors"),
        (["org/nano", "--with-weights"], "--with-weights requires --output"),
        ([str(FOLDER), "--create-pr"], "--create-pr only works for Hub repositories"),
    ],
)
def test_what_cannot_be_queried(
    hub: Hub, hub_call: Call, arguments: list[str], message: str
) -> None:
    hub.add("org/nano", NANO_VL)
    if "--offline" in arguments:
        hub_call("inspect", "org/nano")
    done = hub_call("rewrite", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
