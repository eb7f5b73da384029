"""A `model_type` for which no release has a config class."""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.registry import known_runtimes
from tests.builders import LLAMA_CONFIG, whole_llama, write_checkpoint
from tests.replay import ask

QUANTIZATION = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
NEWEST = {runtime: f"{runtime}=={known_releases(runtime)[-1]}" for runtime in known_runtimes()}


def llama(folder: Path, **config: Any) -> Path:
    return write_checkpoint(
        folder, whole_llama(), QUANTIZATION, extra_config={**LLAMA_CONFIG, **config}
    )


@pytest.mark.parametrize("kind", ["foo", "Llama", "llama ", ""])
def test_it_stops_every_release(kind: str, tmp_path: Path) -> None:
    """vLLM 0.33.0, SGLang 0.5.22 and 0.5.23: Transformers does not recognize this architecture."""
    every = tuple(f"{name}=={v}" for name in known_runtimes() for v in known_releases(name))
    got = ask(llama(tmp_path / "c", model_type=kind), every)
    assert {answer.answer for answer in got.values()} == {"no"}
    assert all("it has no config class for model_type" in str(a.reasons) for a in got.values())


@pytest.mark.parametrize("release", NEWEST.values())
def test_code_of_the_checkpoint_may_have_the_class(release: str, tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "configuration_foo.FooConfig"}
    folder = llama(tmp_path / "c", model_type="foo", auto_map=auto_map)
    got = ask(folder, (release,))[release]
    assert "no config class" not in str(got.reasons)


@pytest.mark.parametrize("release", NEWEST.values())
def test_a_type_that_a_runtime_adds_is_known(release: str, tmp_path: Path) -> None:
    got = ask(llama(tmp_path / "c", model_type="kimi_k2"), (release,))[release]
    assert "no config class" not in str(got.reasons)
