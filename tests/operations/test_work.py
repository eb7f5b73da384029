"""How often the work is done does not depend on how many experts there are.

Times say little on a busy machine, so this counts: judgements, plans, passes of the rules, modules
grouped from tensors and names traced through a mapper, on a checkpoint whose names do not meet.
"""

import importlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import ckptfix
from ckptfix.__main__ import main
from ckptfix.checkpoint.modules import group_modules
from ckptfix.names import NameMapper
from tests.builders import bf16, fp8, mixed, nvfp4, safetensors_bytes

CALLS = {
    "judgements": ("ckptfix.runtimes.verdict", "_judge"),
    "plans for releases": ("ckptfix.rewriting.portable", "plan_rewrite"),
    "other plans": ("ckptfix.rewriting.proved", "plan_rewrite"),
    "passes of the rules": ("ckptfix.rules.registry", "_found"),
}
TRUNK = "language_model.backbone"


def write(directory: Path, experts: int, lost: str = "", **sizes: int) -> Path:
    """Two layers of experts and one of attention; without the tensor `lost`.

    `sizes` are those that config.json declares.
    """
    attention = [f"{TRUNK}.layers.1.mixer.{part}_proj" for part in "qkvo"]
    entries: dict[str, str] = dict.fromkeys(attention, "FP8")
    tensors = bf16("language_model.lm_head", 64, 32) | bf16(f"{TRUNK}.embeddings", 64, 32)
    for name in entries:
        tensors |= fp8(name)
    for norm in ("norm_f", *(f"layers.{layer}.norm" for layer in range(3))):
        tensors |= bf16(f"{TRUNK}.{norm}", 32)
    for layer in (0, 2):
        router = f"{TRUNK}.layers.{layer}.mixer.gate"
        tensors |= bf16(router, experts, 32)
        tensors[f"{router}.e_score_correction_bias"] = ("F32", (experts,))
        for expert in range(experts):
            for part in ("up_proj", "down_proj"):
                name = f"{TRUNK}.layers.{layer}.mixer.experts.{expert}.{part}"
                tensors |= nvfp4(name)
                entries[name] = "NVFP4"
    tensors.pop(lost, None)
    # As safetensors saves them: by dtype, then by name.
    stored = dict(sorted(tensors.items(), key=lambda row: (row[1][0], row[0])))
    directory.mkdir()
    (directory / "model.safetensors").write_bytes(safetensors_bytes(stored))
    config = {
        "architectures": ["NemotronH_Nano_VL_V2"],
        "llm_config": {"model_type": "nemotron_h", **sizes},
        "quantization_config": {**mixed(entries), "quant_method": "modelopt"},
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    hf = {"quantization": mixed(entries)}
    (directory / "hf_quant_config.json").write_text(json.dumps(hf, indent=2), encoding="utf-8")
    return directory


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each was called meanwhile."""
    done: Counter[str] = Counter()
    trace = NameMapper._trace

    def count(what: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        done[what] += 1
        return call(*arguments, **named)

    def count_trace(mapper: NameMapper, name: str) -> Any:
        done["names traced"] += 1
        return trace(mapper, name)

    def count_modules(tensors: Any) -> Any:
        done["tables"] += 1
        done["tensors in tables"] += len(tensors)
        return group_modules(tensors)

    places: dict[str, Any] = {
        "ckptfix.names.NameMapper._trace": count_trace,
        "ckptfix.checkpoint.tensor_table.group_modules": count_modules,
    }
    for what, (module, name) in CALLS.items():
        call = getattr(importlib.import_module(module), name)
        places[f"{module}.{name}"] = partial(count, what, call)
    patches = [patch(place, call) for place, call in places.items()]
    for one in patches:
        one.start()
    try:
        yield done
    finally:
        for one in patches:
            one.stop()


def work(directory: Path, *arguments: str) -> Counter[str]:
    """What a command does."""
    argv = ["ckptfix", arguments[0], str(directory), *arguments[1:]]
    quiet = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
    with counted() as done, quiet[0], quiet[1], patch("sys.argv", argv), pytest.raises(SystemExit):
        main()
    return done


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "--runtime", "vllm==0.17.1"),
        ("check", "--format", "json"),
        ("check", "--format", "sarif"),
        ("rewrite", "--dry-run"),
        ("rewrite",),
    ],
    ids=" ".join,
)
def test_no_work_is_done_for_each_expert(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    work(write(tmp_path / "first", 8, ""), *arguments)  # mappers of the runtimes keep names
    few = work(write(tmp_path / "few", 8, ""), *arguments)
    many = work(write(tmp_path / "many", 40, ""), *arguments)
    assert few == many
    assert few["judgements"] > 0
    assert few["passes of the rules"] > 0
    assert few["tensors in tables"] < 100


@pytest.mark.parametrize(
    "arguments",
    [("check",), ("check", "--runtime", "vllm==0.33.0"), ("rewrite", "--dry-run")],
    ids=" ".join,
)
def test_experts_of_another_size_than_declared_stay_folded(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    work(write(tmp_path / "first", 8, "", moe_intermediate_size=48), *arguments)
    few = work(write(tmp_path / "few", 8, moe_intermediate_size=48), *arguments)
    many = write(tmp_path / "many", 40, moe_intermediate_size=48)
    assert few == work(many, *arguments)
    assert few["tensors in tables"] < 100
    (answer,) = ckptfix.check(many, runtimes=["vllm==0.33.0"]).runtimes
    assert "implies 48 x ?" in " ".join(map(str, answer.reasons))


def test_one_broken_expert_leaves_the_other_banks_folded(tmp_path: Path) -> None:
    lost = f"{TRUNK}.layers.0.mixer.experts.1.up_proj.input_scale"
    directory = write(tmp_path / "broken", 40, lost)
    done = work(directory, "check")
    per_bank = 40 * 2 * 4
    assert done["tables"] * per_bank <= done["tensors in tables"] < done["tables"] * 1.2 * per_bank


def test_a_router_missing_next_to_a_bank_leaves_it_folded(tmp_path: Path) -> None:
    lost = f"{TRUNK}.layers.0.mixer.gate.weight"
    few = work(write(tmp_path / "few", 8, lost), "check")
    assert few == work(write(tmp_path / "many", 40, lost), "check")
    assert few["tensors in tables"] < 100
