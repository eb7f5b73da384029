"""A Hub on loopback, and the command line that talks to it through the real huggingface_hub."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest

from tests.conftest import Call, Run
from tests.hub.server import serving
from tests.hub.state import Hub

HubRun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as served:
        yield served


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """Nothing of the machine's own: no token, no cache, no proxy."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_OFFLINE": "",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "CKPTFIX_RETRIES": "2",
        "CKPTFIX_RETRY_WAIT": "0.01",
        "NO_PROXY": "127.0.0.1,localhost",
    }


@pytest.fixture
def hub_run(run: Run, environment: dict[str, str]) -> HubRun:
    """`ckptfix` as a process of its own."""

    def run_(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, **{**environment, **more})

    return run_


@pytest.fixture
def hub_call(
    call: Call, environment: dict[str, str], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Call]:
    """`ckptfix` in this process: what huggingface_hub reads at import is set by hand."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Attributes of the package only once something used them.
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):  # before 1.0 the second has a copy
        if hasattr(module, "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{environment['HF_HOME']}/hub")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", f"{environment['HF_HOME']}/token")
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    yield call
    close_sessions()


def close_sessions() -> None:
    """Close the connections that huggingface_hub keeps open."""
    if hasattr(huggingface_hub, "close_session"):
        huggingface_hub.close_session()
    else:  # before 1.0
        from huggingface_hub.utils import reset_sessions

        reset_sessions()
