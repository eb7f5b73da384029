import json
from typing import Any

import pytest

from ckptfix.checkpoint.model_config import parse_model_config
from ckptfix.jsontext.text import JsonText


@pytest.mark.parametrize(
    ("config", "nested", "tied"),
    [
        ({"llm_config": {"architectures": ["B"], "tie_word_embeddings": True}}, ("B",), True),
        ({"text_config": {"architectures": "odd"}, "tie_word_embeddings": False}, (), False),
        ({}, None, None),
    ],
)
def test_the_language_models_own_config_counts(
    config: dict[str, Any], nested: tuple[str, ...] | None, *, tied: bool | None
) -> None:
    text = json.dumps({"architectures": ["A"], **config})
    parsed = parse_model_config(JsonText.parse("config.json", text.encode()).value)
    assert parsed.architectures == ("A",)
    assert parsed.nested == (() if nested is None else (("language_model", nested),))
    assert parsed.tied_embeddings is tied
