"""What a caller of `verify` sees while it works."""

from itertools import pairwise

import ckptfix
from tests.conftest import DATA


def test_the_caller_gets_the_number_of_bytes_that_are_verified() -> None:
    steps: list[ckptfix.Step] = []
    listener = ckptfix.Listener(step=steps.append)
    ckptfix.verify(DATA / "llama-fp8-kv8", device="cpu", listener=listener)
    weights = [step for step in steps if step.in_bytes]
    assert weights[0].done == 0
    assert all(a.done < b.done for a, b in pairwise(weights))
    assert weights[-1].done == weights[-1].total
