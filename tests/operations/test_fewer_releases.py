"""A rewrite for every known release may be refused for an old one: fewer releases are then named.

What the first screen announces is run on a copy, and checked again (`assert_all`).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURES, Call
from tests.operations.test_one_answer import Said, assert_all, copied, first_screen, said

VLLM, SGLANG = "vllm==0.33.0", "sglang==0.5.23"
BOTH = f"--runtime {VLLM} --runtime {SGLANG}"
Section = dict[str, Any]


def _edit(file: Path, key: str, change: Callable[[Section], object]) -> None:
    value = json.loads(file.read_text())
    change(value[key])
    file.write_text(json.dumps(value, indent=2))


def no_method(directory: Path) -> None:
    _edit(directory / "config.json", "quantization_config", lambda q: q.pop("quant_method"))


def alone(directory: Path) -> None:
    """hf_quant_config.json without its other half."""
    path = directory / "config.json"
    value = json.loads(path.read_text())
    del value["quantization_config"]
    path.write_text(json.dumps(value, indent=2))


def no_excludes(directory: Path) -> None:
    alone(directory)
    path = directory / "hf_quant_config.json"
    _edit(path, "quantization", lambda q: q.update(exclude_modules=[]))


def no_cache(directory: Path) -> None:
    alone(directory)
    path = directory / "hf_quant_config.json"
    _edit(path, "quantization", lambda q: q.pop("kv_cache_quant_algo"))


@pytest.fixture(
    params=[
        pytest.param(("llama-nvfp4-tied", no_method), id="no quant_method"),
        pytest.param(("llama-nvfp4-tied", no_excludes), id="no excludes"),
        pytest.param(("llama-nvfp4-tied", no_cache), id="no KV algorithm"),
        pytest.param(("llama-kv8-only", alone), id="KV cache alone"),
    ]
)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A rewrite for every release would break SGLang 0.5.8, or 0.5.9, which loads it now."""
    name, change = request.param
    directory = copied(FIXTURES / name, tmp_path / "broken")
    change(directory)
    return directory


def _screen(directory: Path) -> tuple[Said, str]:
    made = said(directory)
    assert made is not None
    return made, first_screen(made.formats["text"])[1][0]


def test_the_next_step_names_the_releases_and_does_as_it_says(broken: Path, tmp_path: Path) -> None:
    made, step = _screen(broken)
    assert step.strip().startswith(f"ckptfix rewrite {broken} --from-tensors {BOTH}  # ")
    assert "then it loads on vllm" in step
    assert "no longer on sglang 0.5.8" in step or "no longer on sglang 0.5.9" in step
    for finding in made.json["findings"]:
        assert finding["advice"].startswith(f"ckptfix rewrite {broken} --from-tensors {BOTH}") or (
            finding["advice"] == f"run ckptfix rewrite {broken} --from-tensors {BOTH}"
        )
        assert finding["fixed_by"] is None, "that command is refused"
    assert_all(broken, tmp_path / "run")


def test_the_newest_releases_load_it_after_the_next_step(broken: Path, call: Call) -> None:
    flags = BOTH.split()
    assert call("check", broken, *flags).returncode == 1
    assert call("rewrite", broken, "--from-tensors", *flags).returncode == 0
    assert call("check", broken, *flags).returncode == 0


def test_a_rewrite_that_is_refused_names_the_same_command(broken: Path, call: Call) -> None:
    _, step = _screen(broken)
    command, _, effect = step.strip().partition("  # ")
    refused = call("rewrite", broken, "--from-tensors")
    assert refused.returncode == 1
    assert f"run instead: {command}\n    # {effect}\n" in refused.stdout
    renamed = call("rewrite", broken)
    assert f"more can be fixed for fewer releases: {command}\n    # {effect}" in renamed.stdout


def test_the_rebuild_that_is_offered_names_the_requested_release(broken: Path, call: Call) -> None:
    """Without it, what is offered would be refused."""
    done = call("rewrite", broken, "--runtime", VLLM)
    offered = f"more can be fixed from the tensors: ckptfix rewrite {broken} --from-tensors"
    assert f"{offered} --runtime {VLLM}\n" in done.stdout
