"""Packages that are absent where the runtime is asked."""

import importlib
import sys
from importlib.util import find_spec

import pytest

from runtime_probe import stand_ins

ABSENT = "a_package_that_nobody_has"


def test_a_package_is_absent_again_after_the_modules_that_need_it_were_imported() -> None:
    """What looks for it later, to choose a kernel, does not find it."""
    with stand_ins.for_a_while([ABSENT]):
        module = importlib.import_module(f"{ABSENT}.kernels")
        assert module.a_kernel() is not None
    assert find_spec(ABSENT) is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{ABSENT}.kernels")


def test_a_package_that_is_there_is_taken_and_stays() -> None:
    before = sys.modules["json"]
    with stand_ins.for_a_while(["json"]):
        assert importlib.import_module("json") is before
    assert sys.modules["json"] is before
