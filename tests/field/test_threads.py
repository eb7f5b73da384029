"""What people met with other quantizers: found, and repaired where metadata can."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from tests.field.other_quantizers import MECHANISMS
from tests.runtimes.whole_models import RELEASE

THREADS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "threads.toml").read_text(encoding="utf-8")
)["thread"]


def loads(directory: Path, release: str) -> str:
    (answer,) = ckptfix.check(directory, runtimes=[release]).runtimes
    return str(answer.loads)


@pytest.mark.parametrize("thread", THREADS, ids=lambda thread: thread["url"].split(".com/")[1])
def test_a_thread_is_detected_and_repaired_where_metadata_can(
    thread: dict[str, Any], tmp_path: Path
) -> None:
    directory = MECHANISMS[thread["shown_by"]](tmp_path)
    release = thread.get("release", RELEASE)
    found = {finding.code for finding in ckptfix.check(directory, runtimes=[release]).findings}
    assert set(thread["codes"]) <= found
    assert loads(directory, release) == "no"
    if "loads_on" in thread:
        assert loads(directory, thread["loads_on"]) == "yes"
    if "no_repair" in thread:
        assert thread["no_repair"]
        return
    from_tensors = "from_tensors" in thread["repair"]
    ckptfix.rewrite(directory, runtimes=[release], from_tensors=from_tensors)
    assert loads(directory, release) == "yes"


def test_every_mechanism_is_that_of_some_thread() -> None:
    assert {thread["shown_by"] for thread in THREADS} == MECHANISMS.keys()
