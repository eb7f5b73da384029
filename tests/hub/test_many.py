"""Many repositories in one call: a table, lines as they finish, and none that stops the others."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import DATA, Call
from tests.hub.repositories import Blob, blobs_of
from tests.hub.state import Fault, Hub

SCHEMA = Path(__file__).parents[2] / "docs" / "check.schema.json"


@pytest.fixture
def listed(hub: Hub, tmp_path: Path) -> Path:
    hub.add("org/broken", blobs_of(DATA / "nanovl-mixed"))
    hub.add("org/clean", blobs_of(DATA / "llama-fp8-kv8"))
    hub.add("org/gguf", {"config.json": Blob.of(b"{}"), "model.gguf": Blob.of(b"GGUF")})
    hub.add("org/gated", blobs_of(DATA / "nanovl-mixed"), gated=True)
    path = tmp_path / "repos.txt"
    path.write_text(
        "# ours\norg/broken\n\norg/clean  # the good one\norg/gguf\norg/gated\n"
        f"org/nowhere\n{DATA / 'llama-fp8-kv8'}\n"
    )
    return path


def test_a_table_of_verdicts_by_repository_and_release(hub_call: Call, listed: Path) -> None:
    options = ("--runtime", "vllm==0.17.1", "--runtime", "vllm==0.33.0")
    done = hub_call("check", "--from-file", listed, *options)
    assert done.returncode == 2
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        "will it load vllm 0.17.1 vllm 0.33.0 findings",
        "org/broken no, 10 modules yes 10",
        "org/clean yes yes clean",
        "org/gguf - - check failed",
        "org/gated - - check failed",
        "org/nowhere - - check failed",
        f"{DATA / 'llama-fp8-kv8'} yes yes clean",
        "",
        "6 checkpoints: 2 clean, 1 not loaded, 3 failed",
    ]
    assert sorted(line.split(": ")[1] for line in done.stderr.splitlines()) == [
        "org/gated",
        "org/gguf",
        "org/nowhere",
    ]


def test_lines_come_as_checkpoints_are_done(hub: Hub, hub_call: Call, listed: Path) -> None:
    hub.faults.append(Fault("models/org/broken", silence=0.9))
    done = hub_call("check", "--from-file", listed, "--json")
    assert done.returncode == 2
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    schema = json.loads(SCHEMA.read_text())
    for report in reports:
        jsonschema.validate(report, schema)
    codes = {r["checkpoints"][0]["checkpoint"]: r["exit_code"] for r in reports}
    assert (codes["org/broken"], codes["org/clean"]) == (1, 0)
    assert codes["org/gguf"] == codes["org/gated"] == codes["org/nowhere"] == 2
    assert len(codes) == 6
    assert list(codes)[-1] == "org/broken"  # the server was slow on it


def test_no_more_than_requested_at_a_time(hub: Hub, hub_call: Call) -> None:
    now, most = 0, 0

    def watched(method: str, path: str) -> Fault | None:
        nonlocal now, most
        if "blobs=true" in path.lower():
            now += 1
            most = max(most, now)
        if "config.json" in path and "resolve-cache" in path:
            now -= 1
        return Fault("", silence=0.05) if method == "GET" and "blobs=true" in path.lower() else None

    hub.fault_for = watched  # type: ignore[method-assign]
    names = [f"org/r{number}" for number in range(6)]
    for name in names:
        hub.add(name, blobs_of(DATA / "llama-fp8-kv8"))
    done = hub_call("check", *names, "--jobs", 2)
    assert done.returncode == 0
    assert 1 <= most <= 2


def test_every_report_of_several_repositories_and_what_to_type(hub: Hub, hub_call: Call) -> None:
    hub.add("org/a", blobs_of(DATA / "nanovl-mixed"))
    hub.add("org/b", blobs_of(DATA / "llama-fp8-kv8"))
    done = hub_call("check", "org/a", "hf://org/b@main")
    assert done.returncode == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "== org/a" in lines
    comment = "repairs the names; then it loads on vllm 0.17.0 to 0.19.1"
    assert f"ckptfix rewrite org/a --output DIR # {comment}" in lines
    assert "ckptfix rewrite org/a --create-pr # opens a pull request with the fix" in lines
    assert "org/b@main: clean" in lines
    alone = hub_call("check", "org/b", "--revision", "main").stdout
    assert "vllm serve org/b --revision main" in alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "no checkpoint given; pass one, or use --from-file FILE"),
        (["check", "--from-file", "nowhere.txt"], "--from-file nowhere.txt: No such file"),
        (["check", "--from-file", "/dev/null"], "--from-file /dev/null: names no checkpoint"),
    ],
)
def test_nothing_to_check(hub_call: Call, arguments: list[str], message: str) -> None:
    done = hub_call(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
