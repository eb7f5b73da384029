"""Everything here needs torch; where it is not installed, each file is one skipped test."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Matrices are small here: threads of torch would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class _WithoutTorch(pytest.Module):
    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        pytest.skip("torch is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    if find_spec("torch") is None:
        return _WithoutTorch.from_parent(parent, path=module_path)
    return None
