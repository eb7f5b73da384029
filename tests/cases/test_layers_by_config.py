"""Gemma 4 without keys or values of some layers, for values of config.json that say so, or do not.

What vLLM 0.33.0 and SGLang 0.5.23 did with each: they load it, or leave a part of `qkv_proj` that
they read unwritten. Layers that share the keys of an earlier one read none of their own.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import changed, exports
from tests.cases.packed import write
from tests.replay import RELEASES, ask

LINE = exports("architectures")["Gemma4ForCausalLM-nvfp4"]
VALUES_OF_FULL = r"layers\.[13]\.self_attn\.v_proj"
SHARED = r"layers\.[23]\.self_attn\.(k_proj|v_proj|k_norm)"
VALUES_OF_FIRST_FULL = r"layers\.1\.self_attn\.v_proj"


@pytest.mark.parametrize(
    ("config", "lost", "answer"),
    [
        ({}, VALUES_OF_FULL, "no"),
        ({"attention_k_eq_v": True}, VALUES_OF_FULL, "yes"),
        ({"num_kv_shared_layers": 2}, SHARED, "yes"),
        (
            {"num_kv_shared_layers": 2, "attention_k_eq_v": True},
            f"{SHARED}|{VALUES_OF_FIRST_FULL}",
            "yes",
        ),
        ({"num_kv_shared_layers": 1}, SHARED, "no"),
        ({"num_kv_shared_layers": 2}, f"{SHARED}|{VALUES_OF_FIRST_FULL}", "no"),
    ],
)
def test_a_layer_needs_the_keys_and_values_that_config_json_does_not_take_from_elsewhere(
    config: dict[str, Any], lost: str, answer: str, tmp_path: Path
) -> None:
    line = changed(LINE, config)
    shards = {name: without(header, lost) for name, (header, _) in line["shards"].items()}
    got = ask(write({**line, "shards": shards}, tmp_path / "case"))
    assert {release: got[release].answer for release in RELEASES} == dict.fromkeys(RELEASES, answer)


def without(header: str, lost: str) -> tuple[str, int]:
    """A header without some tensors, and the length of what is left."""
    end, kept = 0, {}
    for name, entry in json.loads(header).items():
        if name == "__metadata__" or re.search(lost, name):
            continue
        start, stop = entry["data_offsets"]
        kept[name] = {**entry, "data_offsets": [end, end + stop - start]}
        end += stop - start
    return json.dumps(kept), end
