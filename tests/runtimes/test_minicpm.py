"""MiniCPM-V in the classes of vLLM 0.33.0 and SGLang 0.5.23, which build another language model
for each version."""

from pathlib import Path

import pytest

from tests.builders import Linear, fp8, nvfp4
from tests.minicpm import minicpmv
from tests.replay import RELEASES, ask


@pytest.mark.parametrize(("linear", "algo"), [(fp8, "FP8"), (nvfp4, "NVFP4")])
def test_both_load_version_2_6(linear: Linear, algo: str, tmp_path: Path) -> None:
    directory = minicpmv(tmp_path / "m", linear, algo)
    assert [got.answer for got in ask(directory, RELEASES).values()] == ["yes", "yes"]


@pytest.mark.parametrize("version", [..., 2.5, 4.5, 5.0])
def test_another_version_is_never_a_yes(version: object, tmp_path: Path) -> None:
    """Without one, vLLM builds 2.5 and SGLang stops; both lack biases that 2.6 stores."""
    directory = minicpmv(tmp_path / "m", fp8, "FP8", version=version)
    assert "yes" not in [got.answer for got in ask(directory, RELEASES).values()]


def test_a_layer_that_is_not_stored(tmp_path: Path) -> None:
    directory = minicpmv(tmp_path / "m", fp8, "FP8", num_hidden_layers=3)
    assert [got.answer for got in ask(directory, RELEASES).values()] == ["no", "no"]
