"""Model files that SGLang's registry leaves out, by a package that it would walk through."""

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime_probe.class_imports import CaughtBySglang

PACKAGE = "some_runtime_models"
FILES = {
    "llama": "class LlamaForCausalLM: ...\n",
    "llava": "import a_package_that_nobody_has\nclass LlavaForCausalLM(object): ...\n",
}


@pytest.fixture
def caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaughtBySglang]:
    """What is caught while the package is walked, with the warning of SGLang 0.5.23."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name, text in {"__init__": "", **FILES}.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    made = CaughtBySglang(PACKAGE)
    for name in FILES:
        try:
            importlib.import_module(f"{PACKAGE}.{name}")
        except ImportError as error:
            logging.getLogger(PACKAGE).warning(
                f"Ignore import error when loading {PACKAGE}.{name}: {error}"
            )
    yield made
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("architecture", "missing"),
    [
        ("LlavaForCausalLM", "a_package_that_nobody_has"),
        ("Llava", None),
        ("LlamaForCausalLM", None),
        ("MistralForCausalLM", None),
    ],
)
def test_the_error_of_the_file_with_the_class(
    architecture: str, missing: str | None, caught: CaughtBySglang
) -> None:
    error = caught.error(architecture)
    assert (error.name if isinstance(error, ImportError) else error) == missing
