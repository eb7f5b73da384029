"""Everything here needs torch and numpy; where one is missing, each file is one skipped test."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Matrices are small here: threads of torch would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


_MISSING = [name for name in ("torch", "numpy") if find_spec(name) is None]


class _NotInstalled(pytest.Module):
    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        pytest.skip(f"{' and '.join(_MISSING)} not installed", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    if _MISSING:
        return _NotInstalled.from_parent(parent, path=module_path)
    return None
