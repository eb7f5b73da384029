"""The verdict of a release does not depend on which other releases are judged with it.

Releases that find the same share their verdicts; here each is judged alone too, for every fixture
and for fixtures whose metadata were changed so that lookups of releases differ.
"""

import json
import random
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.model_config import parse_model_config
from ckptfix.operations.loading import load
from ckptfix.runtimes import judged
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.judged import judge_all
from ckptfix.runtimes.module_verdict import ModuleJudge
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.releases import requested_targets
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.conftest import FIXTURE_NAMES, FIXTURES

TARGETS = requested_targets(["vllm", "sglang"])
FIRST_AND_LAST = requested_targets(["vllm==0.17.1", "sglang"])[0], TARGETS[-1]
"""vLLM 0.17.1: the oldest of which the classes of all fixtures are known."""
ALGOS = ("FP8", "NVFP4", "W4A16_NVFP4", "MXFP8", "FP8_PB_WO", "W4A8_AWQ")
Change = Callable[[random.Random, dict[str, Any]], object]


def name_head(chance: random.Random, section: dict[str, Any]) -> object:
    """An output head, in one of the spellings that some releases try."""
    head = chance.choice(["lm_head", "language_model.lm_head", "model.lm_head"])
    return section["quantized_layers"].update({head: {"quant_algo": chance.choice(ALGOS)}})


def pack(chance: random.Random, section: dict[str, Any]) -> object:
    """Members of packed modules under the packed name."""
    for name in list(section["quantized_layers"]):
        parent, _, last = name.rpartition(".")
        packed = {"q_proj": "qkv_proj", "gate_proj": "gate_up_proj"}.get(last)
        if packed and chance.random() < 0.5:
            value = section["quantized_layers"].pop(name)
            section["quantized_layers"][f"{parent}.{packed}"] = value
    return None


def move(chance: random.Random, section: dict[str, Any]) -> object:
    """The names at another place of the language model."""
    old, new = chance.choice(
        [
            ("language_model.model.", "model.language_model."),
            ("model.", "model.language_model."),
            ("language_model.backbone.", "backbone."),
        ]
    )
    layers = section["quantized_layers"].items()
    moved = {new + n.removeprefix(old) if n.startswith(old) else n: v for n, v in layers}
    return section.update(quantized_layers=moved)


def relabel(chance: random.Random, section: dict[str, Any]) -> object:
    """Other schemes, of which some releases take fewer than others."""
    for name in section["quantized_layers"]:
        if chance.random() < 0.2:
            section["quantized_layers"][name] = {"quant_algo": chance.choice(ALGOS)}
    return None


def exclude(chance: random.Random, section: dict[str, Any]) -> object:
    """Patterns that releases read differently."""
    patterns = ["*qkv_proj", "*.experts*", "lm_head", "model.layers.1*", "*gate*"]
    return section.update(exclude_modules=chance.sample(patterns, 2))


def of_siblings(chance: random.Random, section: dict[str, Any]) -> object:  # noqa: ARG001
    """Banks of experts without an entry of their own, next to modules that have one."""
    layers = section["quantized_layers"]
    banks = {name.partition(".experts")[0] for name in layers if ".experts" in name}
    kept = {name: value for name, value in layers.items() if ".experts" not in name}
    beside = {f"{bank}.shared": {"quant_algo": "NVFP4"} for bank in banks}
    return section.update(quantized_layers=kept | beside)


def uniform(chance: random.Random, section: dict[str, Any]) -> object:
    """One scheme for all modules, towers too."""
    del section["quantized_layers"]
    return section.update(quant_algo=chance.choice(["FP8", "NVFP4"]), exclude_modules=["lm_head"])


def changed(checkpoint: Checkpoint, chance: random.Random) -> Iterator[Checkpoint]:
    """The same tensors below other metadata; only where entries decide."""
    document = checkpoint.documents.get("hf_quant_config.json")
    section = document.value.get("quantization") if document else None
    changes: tuple[Change, ...] = (
        name_head, pack, move, relabel, exclude, of_siblings, uniform,
    )  # fmt: skip
    for change in changes if section and "quantized_layers" in section else ():
        assert document is not None
        value = json.loads(json.dumps(document.value))
        change(chance, value["quantization"])
        config = {**checkpoint.documents["config.json"].value}
        config["quantization_config"] = {"quant_method": "modelopt", **value["quantization"]}
        config["quantization_config"]["ignore"] = value["quantization"].get("exclude_modules", [])
        texts = {"config.json": config, "hf_quant_config.json": value}
        documents = {
            file: type(document).parse(file, json.dumps(text).encode())
            for file, text in texts.items()
        }
        yield replace(checkpoint, documents=documents)


def fresh(checkpoint: Checkpoint) -> Checkpoint:
    """The same with nothing derived yet."""
    return replace(checkpoint, table=replace(checkpoint.table))


def judges(checkpoint: Checkpoint, target: Target) -> Iterator[ModuleJudge]:
    """The judge of a release, and those of releases that differ from it in one rule."""
    verdict, runtime = judge(fresh(checkpoint), target), runtime_named(target.runtime)
    if verdict.metadata is None or verdict.bound is None:
        return
    first, last = runtime.lookup_rules[0], runtime.lookup_rules[-1]
    names = [f.name for f in fields(LookupRules) if f.name not in ("since", "mapping")]
    rules = [replace(last, **{name: getattr(first, name)}) for name in names]
    rules += [replace(first, **{name: getattr(last, name)}) for name in names]
    for each in (first, last, *rules):
        for packed in (verdict.bound.packed, {}):
            bound = replace(verdict.bound, rules=each, packed=packed)
            yield ModuleJudge(checkpoint, runtime, verdict.metadata, bound)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_one_rule_that_differs_makes_the_difference_that_it_makes_alone(name: str) -> None:
    whole = load(str(Path(FIXTURES / name)))
    for checkpoint in (whole, *changed(whole, random.Random(name))):
        for target in FIRST_AND_LAST:
            profile = load_profile(target.runtime, target.version)
            try:
                outer = outer_architecture(checkpoint.config, profile)
            except (StopsError, UnregisteredError):
                continue
            family = family_for(target.runtime, target.version, [outer])
            assert family is not None
            together = fresh(checkpoint)
            for each in judges(checkpoint, target):
                shared = judge_all(replace(each, checkpoint=together), family)
                assert shared == judge_all(replace(each, checkpoint=fresh(checkpoint)), family)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_a_verdict_is_that_of_the_release_alone(name: str) -> None:
    whole = load(str(Path(FIXTURES / name)))
    for checkpoint in (whole, *changed(whole, random.Random(name))):
        together = fresh(checkpoint)
        for target in TARGETS:
            shared, alone = judge(together, target), judge(fresh(checkpoint), target)
            assert shared.modules == alone.modules, target
            assert shared.loads == alone.loads, target


def configured(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """Values of config.json that only some releases look at."""
    document = checkpoint.documents["config.json"]
    inner = next((key for key in ("text_config", "llm_config") if key in document.value), None)
    changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"model_type": None}, {}),
        ({}, {"num_nextn_predict_layers": 1}),
    ]
    for outside, inside in product((True, False, None), (True, False)):
        changes.append(({"tie_word_embeddings": outside}, {"tie_word_embeddings": inside}))
    for outer, within in changes:
        value = document.value | ({} if inner else within) | outer
        if inner is not None:
            value[inner] = value[inner] | within
        value = {key: found for key, found in value.items() if found is not None}
        changed = type(document).parse("config.json", json.dumps(value).encode())
        yield replace(
            checkpoint,
            config=parse_model_config(changed.value),
            documents={**checkpoint.documents, "config.json": changed},
        )


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_what_is_left_out_of_a_release_makes_no_difference(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(str(Path(FIXTURES / name)))
    for checkpoint in (whole, *configured(whole)):
        found = [judge(fresh(checkpoint), target).loads for target in TARGETS]
        with monkeypatch.context() as patched:
            patched.setattr(judged, "_that_counts", lambda expected, *_: expected)
            assert found == [judge(fresh(checkpoint), target).loads for target in TARGETS]
