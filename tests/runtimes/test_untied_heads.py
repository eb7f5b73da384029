"""A head that is not stored, and a config.json that does not say that it is tied.

vllm 0.33.0 and sglang 0.5.23 were run on `llama-nvfp4-tied` without the key: both leave
`lm_head.weight` unfilled.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.replay import ask

RELEASES = ("vllm==0.33.0", "sglang==0.5.23")


@pytest.mark.parametrize(
    ("tied", "expected"), [(True, "yes"), (None, "no"), (False, "no")], ids=str
)
def test_what_a_missing_key_means_is_up_to_the_config_class(
    copy_of: Callable[[str], Path], *, tied: bool | None, expected: str
) -> None:
    folder = copy_of("llama-nvfp4-tied")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["tie_word_embeddings"]
    given = {} if tied is None else {"tie_word_embeddings": tied}
    (folder / "config.json").write_text(json.dumps({**config, **given}), "utf-8")
    got = ask(folder, RELEASES)
    assert {answer.answer for answer in got.values()} == {expected}
    by_default = [" by default" in " ".join(answer.reasons) for answer in got.values()]
    assert by_default == [tied is None] * 2
