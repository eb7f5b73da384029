"""Output heads that are tied to the embeddings: stored anyway, or not stored."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.runtimes.loads import Answer, Effect
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, bf16, fp8, write_checkpoint
from tests.conftest import load
from tests.runtimes.structure.models import BOTH, FP8, SIZES, attention, llama, loads, reasons_of

TIED = {"tie_word_embeddings": True}
VERSIONS = {"vllm": "0.33.0", "sglang": "0.5.23"}


def without_head(tensors: Shapes) -> Shapes:
    return {name: kept for name, kept in tensors.items() if "lm_head" not in name}


def with_head(tmp_path: Path, *, differs: bool) -> Path:
    """A checkpoint that ties its head and stores it too, as Qwen3-0.6B does."""
    directory = write_checkpoint(tmp_path / "c", llama(), FP8, extra_config=SIZES | TIED)
    file = directory / "model.safetensors"
    data = bytearray(file.read_bytes())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        start, end = (8 + size + offset for offset in header[name]["data_offsets"])
        data[start:end] = bytes(n % 251 for n in range(end - start))
        data[end - 1] ^= differs and name == "lm_head.weight"
    file.write_bytes(data)
    return directory


@pytest.mark.parametrize(("differs", "answer"), [(False, Answer.YES), (True, Answer.NO)])
def test_a_tied_head_that_is_a_copy_is_not_missed(
    tmp_path: Path, differs: bool, answer: Answer
) -> None:
    """SGLang leaves it out."""
    directory = with_head(tmp_path, differs=differs)
    verdict = judge(load(directory), Target("sglang", "0.5.23", "0.5.23"))
    assert verdict.loads.answer is answer


@pytest.mark.parametrize(("runtime", "reads"), [("vllm", 0), ("sglang", 6)])
def test_weights_are_compared_only_where_the_answer_depends_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, reads: int
) -> None:
    directory = with_head(tmp_path, differs=False)
    size = int.from_bytes((directory / "model.safetensors").read_bytes()[:8], "little")
    read_range = DirectorySource.read_range
    weights: list[int] = []

    def noting(source: DirectorySource, name: str, start: int, length: int) -> bytes:
        weights.extend([start] if start >= 8 + size else [])
        return read_range(source, name, start, length)

    monkeypatch.setattr(DirectorySource, "read_range", noting)
    checkpoint = load(directory)
    assert not weights
    for _ in range(2):
        version = VERSIONS[runtime]
        assert judge(checkpoint, Target(runtime, version, version)).loads.answer is Answer.YES
    assert len(weights) == reads


@pytest.mark.parametrize(("ignore", "reason"), [(["lm_head"], ""), ([], "builds lm_head in FP8")])
def test_a_tied_head_that_vllm_would_quantize(
    tmp_path: Path, ignore: list[str], reason: str
) -> None:
    """It gets the weight of the embeddings and scales that nobody wrote; SGLang builds none."""
    quantization = FP8 | {"ignore": ignore}
    for runtime in BOTH:
        found = loads(
            tmp_path / runtime, runtime, without_head(llama()), TIED, quantization=quantization
        )
        wanted = reason if runtime == "vllm" else ""
        assert wanted in reasons_of(found)
        assert found.answer is (Answer.NO if wanted else Answer.YES)
        assert found.effect is (Effect.WRONG_WEIGHTS if wanted else None)


def gemma3(*, top: bool | None, text: bool | None) -> tuple[Shapes, dict[str, Any]]:
    made = bf16("language_model.model.embed_tokens") | bf16("language_model.model.norm", 32)
    layer = "language_model.model.layers.0"
    made |= attention(layer)
    for part in ("pre_feedforward_layernorm", "post_feedforward_layernorm"):
        made |= bf16(f"{layer}.{part}", 32)
    for part in ("q_norm", "k_norm"):
        made |= bf16(f"{layer}.self_attn.{part}", 32)
    for part in ("gate_proj", "up_proj", "down_proj"):
        made |= fp8(f"{layer}.mlp.{part}")
    tower, projector = "vision_tower.vision_model", "multi_modal_projector"
    made |= bf16(f"{tower}.embeddings.position_embedding")
    patches = f"{tower}.embeddings.patch_embedding"
    made |= bf16(patches, 32, 3, 14, 14) | bf16(f"{tower}.post_layernorm", 32)
    for part in (patches, f"{tower}.post_layernorm"):
        made[f"{part}.bias"] = "BF16", (32,)
    made |= bf16(f"{projector}.mm_soft_emb_norm", 32)
    made[f"{projector}.mm_input_projection_weight"] = "BF16", (32, 32)
    inner = {"num_hidden_layers": 1, "vocab_size": 32}
    config: dict[str, Any] = {
        "text_config": inner | ({} if text is None else {"tie_word_embeddings": text})
    }
    return made, config | ({} if top is None else {"tie_word_embeddings": top})


@pytest.mark.parametrize(
    ("version", "top", "text", "answer"),
    [
        ("0.33.0", True, False, Answer.YES),
        ("0.33.0", False, True, Answer.NO),
        ("0.33.0", None, False, Answer.NO),
        ("0.17.1", True, False, Answer.NO),
        ("0.17.1", False, True, Answer.YES),
    ],
)
def test_the_wrappers_config_ties_the_head_in_vllm(
    tmp_path: Path, version: str, top: bool | None, text: bool | None, answer: Answer
) -> None:
    """From 0.20 on vLLM copies its `tie_word_embeddings` into the language model's config."""
    tensors, config = gemma3(top=top, text=text)
    directory = write_checkpoint(
        tmp_path,
        tensors,
        FP8 | {"ignore": ["lm_head", "language_model.lm_head"]},
        architecture="Gemma3ForConditionalGeneration",
        extra_config=config,
    )
    assert judge(load(directory), Target("vllm", version, version)).loads.answer is answer
