"""`a/b` can be a path or a repository: nothing is sent for a path, and both readings are named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfix.remote.reference import Repository, parse_reference
from tests.conftest import DATA
from tests.hub.conftest import HubRun
from tests.hub.repositories import blobs_of
from tests.hub.state import Hub

COMMANDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "check": lambda name: ("check", name),
    "inspect": lambda name: ("inspect", name),
    "resolve": lambda name: ("resolve", name, "*"),
    "rewrite": lambda name: ("rewrite", name),
    "verify": lambda name: ("verify", name),
}
"""Every command that takes a checkpoint; a typing error in its name is the same in all."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of checkpoints where commands run."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "name", ["models/foo", "models/foo/", "models/foo@v1", "./foo", "a/b/c", "/a/b", "foo", ".a/b"]
)
def test_nothing_is_sent_for_a_path(
    hub: Hub, hub_run: HubRun, models: Path, command: str, name: str
) -> None:
    assert models.is_dir()
    done = hub_run(*COMMANDS[command](name))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: no such directory")
    assert hub.requests == []


def test_a_list_of_names_sends_only_those_of_repositories(
    hub: Hub, hub_run: HubRun, models: Path
) -> None:
    hub.add("org/nano", blobs_of(DATA / "llama-fp8-kv8"))
    (models.parent / "list").write_text("models/foo\norg/nano\nmodels/bar/\n")
    done = hub_run("check", "--from-file", "list")
    assert done.returncode == 2
    assert "3 checkpoints: 1 clean, 2 failed" in done.stdout
    assert [path for _, path in hub.requests if "foo" in path or "bar" in path] == []


@pytest.mark.parametrize("name", ["models/foo", "models/foo@v1", "org/foo/"])
def test_a_missing_path_shows_how_to_write_the_repository(
    hub: Hub, hub_run: HubRun, models: Path, name: str
) -> None:
    assert models.is_dir()
    done = hub_run("inspect", name)
    message, _, written = done.stderr.rstrip().partition("; for the Hub repository write ")
    assert message == f"error: {name}: no such directory"
    plain, _, revision = name.rstrip("/").partition("@")
    assert parse_reference(written) == Repository(plain, revision or None)
    assert hub.requests == []


def test_the_named_repository_is_read_despite_a_folder_of_that_name(
    hub: Hub, hub_run: HubRun, models: Path
) -> None:
    assert models.is_dir()
    hub.add("models/nano", blobs_of(DATA / "llama-fp8-kv8"))
    assert hub_run("inspect", "models/nano").returncode == 2
    written = "hf://models/models/nano"
    assert f"write {written}\n" in hub_run("inspect", "models/nano").stderr
    assert hub_run("inspect", written).returncode == 0


def test_what_is_suggested_for_it_names_it_so_that_it_is_found(
    hub: Hub, hub_run: HubRun, tmp_path: Path
) -> None:
    (tmp_path / "zoo").mkdir()
    hub.add("zoo/nano", blobs_of(DATA / "nanovl-mixed"))
    hub.add("zoo/healthy", blobs_of(DATA / "llama-fp8-kv8"))
    name = "hf://zoo/nano"
    checked = hub_run("check", name).stdout
    assert f"  ckptfix rewrite {name} --create-pr" in checked
    assert f"fix: run ckptfix rewrite {name} --output DIR\n" in checked
    proposed = hub_run("rewrite", name, "--create-pr", HF_TOKEN="hf_writer").stdout
    (check,) = re.findall(r"check it with: ckptfix (.*)\n", proposed)
    assert hub_run(*check.split(), "--runtime", "vllm>=0.17").returncode == 0
    served = hub_run("check", "hf://zoo/healthy", "--revision", "main").stdout
    assert re.search("^  vllm serve zoo/healthy --revision main +# vllm", served, re.MULTILINE)


NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "CKPTFIX_RETRIES": "0"}


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        (["org/nowhere"], {}, "and no such repository on the Hub (or you have no access)"),
        (["org/nano"], NOWHERE, "and as a Hub repository: cannot connect to the server"),
        (["org/nano", "--offline"], {}, "and as a Hub repository: not cached"),
        (["org/nano"], {"HF_HUB_OFFLINE": "1"}, "and as a Hub repository: not cached"),
    ],
)
def test_what_is_neither_is_reported_as_both(
    hub: Hub, hub_run: HubRun, arguments: list[str], more: dict[str, str], message: str
) -> None:
    hub.add("org/nano", blobs_of(DATA / "llama-fp8-kv8"))
    name = arguments[0]
    done = hub_run("inspect", *arguments, **more)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: no such local directory, {message}")
    plain = hub_run("inspect", f"hf://{name}", *arguments[1:], **more)
    assert plain.returncode == 2
    assert "directory" not in plain.stderr
