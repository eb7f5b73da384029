"""Properties of every plan, on real checkpoints whose metadata was broken at random."""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.jsontext.text import JsonText
from ckptfix.rewriting.plan import rewritten
from ckptfix.rewriting.portable import PortablePlan, plan_for_targets
from ckptfix.rewriting.rebuild.plan import plan_rebuild
from ckptfix.runtimes.name_maps import NameMap, choose_name_map
from ckptfix.runtimes.releases import known_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.verdict import judge
from tests.conftest import DATA, load

NAMES = ["nanovl-mixed", "llama-fp8-kv8", "qwen3vlmoe-nvfp4", "nanovl-fp8"]
WHOLE = {name: load(DATA / name) for name in NAMES}


def name_map_of(checkpoint: Checkpoint) -> NameMap:
    return choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)


def plan(checkpoint: Checkpoint) -> PortablePlan:
    return plan_for_targets(checkpoint, name_map_of(checkpoint), known_targets(checkpoint), "auto")


def wrong(verdicts: Iterable[TargetVerdict]) -> int:
    return sum(len(verdict.wrong) for verdict in verdicts)


def after(checkpoint: Checkpoint, made: PortablePlan) -> Checkpoint:
    return rewritten(checkpoint, made.plan.files)


@dataclass(frozen=True, repr=False)
class Broken:
    name: str
    checkpoint: Checkpoint

    def __repr__(self) -> str:
        texts = (document.text for document in self.checkpoint.documents.values())
        return f"{self.name}: {' '.join(texts)[-4_000:]}"


@st.composite
def broken(draw: st.DrawFn) -> Broken:
    name = draw(st.sampled_from(NAMES))
    checkpoint = WHOLE[name]
    documents = dict(checkpoint.documents)
    for file, path in (
        ("config.json", "quantization_config"),
        ("hf_quant_config.json", "quantization"),
    ):
        value = copy.deepcopy(documents[file].value)
        _break(draw, value[path], sorted(checkpoint.modules))
        documents[file] = JsonText.parse(file, json.dumps(value, indent=2).encode())
    made = replace(checkpoint, documents=documents)
    return Broken(name, made)


def _break(draw: st.DrawFn, value: dict[str, Any], modules: list[str]) -> None:
    layers = value.get("quantized_layers")
    if layers:
        for entry in draw(st.lists(st.sampled_from(sorted(layers)), max_size=3, unique=True)):
            layers[entry] = draw(
                st.sampled_from(
                    [{"quant_algo": "FP8"}, {"quant_algo": "NVFP4", "group_size": 16}, None]
                )
            )
            if layers[entry] is None:
                del layers[entry]
    patterns = value.setdefault("ignore" if "ignore" in value else "exclude_modules", [])
    if patterns and draw(st.booleans()):
        patterns.remove(draw(st.sampled_from(patterns)))
    if draw(st.booleans()):
        patterns.append(draw(st.sampled_from(modules)) + draw(st.sampled_from(["", "*", ".*"])))
    if draw(st.booleans()):
        value.pop(draw(st.sampled_from(["group_size", "config_groups", "quant_method"])), None)


@settings(max_examples=60)
@given(broken())
def test_a_plan_does_no_harm_and_a_second_one_does_nothing(case: Broken) -> None:
    checkpoint = case.checkpoint
    made = plan(checkpoint)
    if made.plan.refusals:
        return
    assert not made.harmed
    assert wrong(made.after) <= wrong(made.before)
    assert not plan(after(checkpoint, made)).plan.files


@settings(max_examples=60)
@given(broken())
def test_a_rebuild_makes_right_what_a_release_can_build(case: Broken) -> None:
    name, checkpoint = case.name, case.checkpoint
    start = rewritten(checkpoint, plan_rebuild(checkpoint, name_map_of(checkpoint)))
    made = plan(start)
    assert not made.does_harm
    result = after(start, made)
    whole = WHOLE[name]
    best = after(whole, plan(whole))
    for target in known_targets(result):
        assert len(judge(result, target).wrong) <= len(judge(best, target).wrong)
    assert plan_rebuild(result, name_map_of(result)) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_fixtures_can_be_made_right_everywhere(name: str) -> None:
    assert wrong(plan(WHOLE[name]).after) == 0
