"""An index without its shard files: what names alone decide agrees with what the tensors decide."""

from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.index_names import table_of_names
from ckptfix.errors import CkptfixError
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.releases import every_target
from ckptfix.runtimes.verdict import judge
from tests.conftest import DATA, FIXTURES, SHARED, load

CASES = SHARED / "cases"
WALKED = [
    *(p.parent for p in sorted(FIXTURES.glob("*/config.json"))),
    *(p.parent for p in sorted(DATA.glob("quantizers/*/config.json"))),
    *(p.parent for p in sorted(CASES.glob("*/config.json"))),
]


def by_names(checkpoint: Checkpoint) -> Checkpoint:
    headers = checkpoint.table.headers.items()
    named = table_of_names({tensor: file for file, header in headers for tensor in header})
    return replace(checkpoint, table=named)


@pytest.mark.parametrize("directory", WALKED, ids=lambda path: path.name)
def test_names_alone_never_give_a_different_answer(directory: Path) -> None:
    try:
        checkpoint = load(directory)
    except CkptfixError:
        pytest.skip("not readable, as its case wants")
    named = by_names(checkpoint)
    for target in every_target():
        whole, part = judge(checkpoint, target).loads, judge(named, target).loads
        assert part.answer is not Answer.YES, target
        if part.answer is Answer.NO:
            assert whole.answer is Answer.NO, (target, part)


def test_names_alone_decide_most_of_what_names_can() -> None:
    """Only a refusal because of a dtype or a shape becomes unknown."""
    lost = Counter[str]()
    for name in ("nanovl-mixed", "nanovl-fp8", "qwen3vlmoe-nvfp4", "llama128-fp8-pb-wo"):
        checkpoint = load(DATA / name)
        for target in every_target():
            if judge(checkpoint, target).loads.answer is Answer.NO:
                lost[name] += judge(by_names(checkpoint), target).loads.answer is not Answer.NO
    assert {name for name, releases in lost.items() if releases} == {"llama128-fp8-pb-wo"}
