"""`--runtime installed` in the oracle's environment: real vLLM and SGLang, every fixture."""

import os
from pathlib import Path

import pytest

import ckptfix
from ckptfix.checkpoint.checkpoint import load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.installed.targets import targets_of
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.verdict import judge
from tests.builders import LLAMA_CONFIG, Shapes, whole_llama, write_checkpoint
from tests.cases.packed import write
from tests.cases.test_mistral import CASES
from tests.conftest import FIXTURE_NAMES, FIXTURES
from tests.ling import ling

ORACLE = Path(os.environ.get("ORACLE_HOME") or Path.home() / ".cache" / "ckptfix-oracle")
PATHS = {
    "vllm": ("vllm", "learn/overlay"),
    "sglang": ("sglang", "transformers/5.19.0", "learn/overlay", "learn/triton"),
}
LEAST_FIXTURES, LEAST_ARCHITECTURES = 12, 8

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not (ORACLE / "venv").is_dir(), reason="no oracle is set up"),
]


def small_ones(directory: Path) -> dict[str, Path]:
    """Qwen3 in FP8: whole, without a scale, with an exclude pattern too many, and with scales of a
    KV cache that is declared in FP8, in another format, or not at all.
    """
    heads = {f"model.layers.0.self_attn.{n}_norm.weight": ("BF16", (16,)) for n in "qk"}
    whole = {**whole_llama(), **heads}
    scale = "model.layers.0.self_attn.o_proj.weight_scale"
    config = {**LLAMA_CONFIG, "model_type": "qwen3", "head_dim": 16, "rms_norm_eps": 1e-6}
    scaled = whole | {f"model.layers.0.self_attn.{n}_proj.{n}_scale": ("F32", ()) for n in "kv"}
    in_fp8: dict[str, object] = {
        "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"}
    }
    variants: dict[str, tuple[Shapes, str, dict[str, object]]] = {
        "qwen3": (whole, "lm_head", {}),
        "qwen3-scale": ({k: v for k, v in whole.items() if k != scale}, "lm_head", {}),
        "qwen3-ignore": (whole, "*self_attn*", {}),
        "qwen3-cache": (scaled, "lm_head", {}),
        "qwen3-cache-fp8": (scaled, "lm_head", in_fp8),
        "qwen3-cache-nvfp4": (scaled, "lm_head", {"kv_cache_quant_algo": "NVFP4"}),
    }
    made = {}
    for name, (tensors, ignored, cache) in variants.items():
        found = {
            "quant_method": "modelopt",
            "quant_algo": "FP8",
            "ignore": ["lm_head", ignored],
            **cache,
        }
        made[name] = write_checkpoint(
            directory / name,
            tensors,
            found,
            architecture="Qwen3ForCausalLM",
            extra_config=config,
        )
    return made


@pytest.mark.parametrize("runtime", sorted(PATHS))
def test_the_real_classes_answer_as_their_oracle_did(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The verdict on every fixture is held against the recorded outcomes of both oracles elsewhere
    # (tests/truth, tests/runtimes/test_verdict.py).
    path = os.pathsep.join(str(ORACLE / part) for part in PATHS[runtime])
    monkeypatch.setenv("PYTHONPATH", path)
    [target] = targets_of([f"{runtime}@{ORACLE / 'venv'}"])
    differing: list[tuple[str, str, str]] = []
    architectures: set[str] = set()
    every = {name: FIXTURES / name for name in FIXTURE_NAMES} | small_ones(tmp_path)
    for name, directory in every.items():
        checkpoint = load_checkpoint(DirectorySource(directory), name)
        architectures.update(checkpoint.config.architectures)
        asked, recorded = judge(checkpoint, target), judge(checkpoint, target.recorded)
        if asked.loads.answer is not recorded.loads.answer:
            differing.append((name, str(asked.loads), str(recorded.loads)))
    assert not differing
    assert len(every) >= LEAST_FIXTURES
    assert len(architectures) >= LEAST_ARCHITECTURES


@pytest.mark.parametrize(
    ("folder", "answer"), [("Mistral-Small-4-NVFP4", Answer.YES), ("renamed", Answer.NO)]
)
def test_sglang_tells_mistrals_own_format_by_the_path(
    folder: str, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(ORACLE / p) for p in PATHS["sglang"]))
    directory = write(CASES["mistral-small-4-nvfp4"], tmp_path / folder)
    [asked] = ckptfix.check(directory, runtimes=[f"sglang@{ORACLE / 'venv'}"]).runtimes
    assert asked.loads is answer, asked.reasons


@pytest.mark.parametrize("runtime", sorted(PATHS))
def test_a_config_class_that_is_code_of_the_checkpoint(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(ORACLE / p) for p in PATHS[runtime]))
    [asked] = ckptfix.check(
        ling(tmp_path / "m"), runtimes=[f"{runtime}@{ORACLE / 'venv'}"]
    ).runtimes
    assert asked.loads is Answer.YES, asked.reasons
