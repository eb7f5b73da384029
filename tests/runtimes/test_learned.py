"""Verdicts on architectures that nobody has described by hand: by what their classes did."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfix.runtimes.learned import store
from ckptfix.runtimes.learned.agreed import agreed_table
from ckptfix.runtimes.learned.table import Table
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.releases import is_known
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import Call, load

VLLM = Target("vllm", "0.33.0", "0.33.0")
SGLANG = Target("sglang", "0.5.23", "0.5.23")
APERTUS = "ApertusForCausalLM"
CONFIG = {"num_hidden_layers": 1, "vocab_size": 64, "tie_word_embeddings": False}
LINEARS = [f"self_attn.{p}_proj" for p in "qkvo"] + ["mlp.up_proj", "mlp.down_proj"]
VECTORS = [f"{part}_layernorm.weight" for part in ("attention", "feedforward")]
VECTORS += ["self_attn.q_norm.weight", "self_attn.k_norm.weight"]
VECTORS += [f"mlp.act_fn.{name}" for name in ("alpha_n", "alpha_p", "beta", "eps")]
Format = Callable[[str], Shapes]


def apertus(stored: Format = fp8, *, drop: str = "", add: Shapes | None = None) -> Shapes:
    """An Apertus of one layer: a dense transformer with norms in its attention and no gate."""
    layer = "model.layers.0"
    made: Shapes = {**bf16("model.embed_tokens", 64, 32), **bf16("lm_head", 64, 32)}
    for name in LINEARS:
        made |= stored(f"{layer}.{name}")
    made |= {f"{layer}.{name}": ("BF16", (32,)) for name in VECTORS}
    made["model.norm.weight"] = ("BF16", (32,))
    made.pop(drop, None)
    return {**made, **(add or {})}


def uniform(algo: str) -> dict[str, object]:
    return {"quant_method": "modelopt", "quant_algo": algo, "ignore": ["lm_head"]}


def judged(
    tmp_path: Path,
    tensors: Shapes,
    quantization: dict[str, object] | None,
    target: Target = VLLM,
    architecture: str = APERTUS,
) -> TargetVerdict:
    write_checkpoint(
        tmp_path, tensors, quantization, architecture=architecture, extra_config=CONFIG
    )
    return judge(load(tmp_path), target)


@pytest.mark.parametrize("target", [VLLM, SGLANG], ids=str)
@pytest.mark.parametrize(("stored", "algo"), [(fp8, "FP8"), (nvfp4, "NVFP4")])
def test_a_whole_checkpoint_loads(
    target: Target, stored: Format, algo: str, tmp_path: Path
) -> None:
    verdict = judged(tmp_path, apertus(stored), uniform(algo), target)
    assert verdict.loads.answer is Answer.YES, verdict.loads
    packed = next(m for m in verdict.modules if m.name == "model.layers.0.self_attn.qkv_proj")
    assert [member[-6:] for member in packed.members] == ["q_proj", "k_proj", "v_proj"]


def test_per_layer_metadata_is_checked_too(tmp_path: Path) -> None:
    layers = {f"model.layers.0.{name}": "FP8" for name in LINEARS if "attn" in name}
    layers |= {f"model.layers.0.{name}": "NVFP4" for name in LINEARS if "mlp" in name}
    tensors = apertus(lambda name: fp8(name) if "attn" in name else nvfp4(name))
    metadata = {"quant_method": "modelopt", "ignore": ["lm_head"], **mixed(layers)}
    assert judged(tmp_path, tensors, metadata).loads.answer is Answer.YES


def test_metadata_that_contradicts_is_a_no(tmp_path: Path) -> None:
    loads = judged(tmp_path, apertus(nvfp4), uniform("FP8")).loads
    assert loads.answer is Answer.NO
    assert "model.layers.0.self_attn.qkv_proj" in str(loads.reasons)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"drop": "model.layers.0.attention_layernorm.weight"},
            "model.layers.# with no attention_layernorm.weight",
        ),
        ({"drop": "model.layers.0.mlp.act_fn.beta"}, "with no mlp.act_fn.beta"),
        (
            {"add": {"model.layers.0.self_attn.q_proj.bias": ("BF16", (32,))}},
            "with an extra self_attn.q_proj.bias was not observed",
        ),
        ({"drop": "model.norm.weight"}, "the top level with no model.norm.weight"),
        ({"add": {"model.layers.0.odd.weight": ("BF16", (32,))}}, "model.layers.#.odd.weight"),
        ({"add": bf16("vision.patch")}, "tensors like vision.patch.weight"),
        ({"add": {"model.layers.0.mlp.up_proj.weight_shape": ("I64", (2,))}}, "weight_shape"),
    ],
)
def test_what_was_not_tried_is_unknown(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    tensors = apertus(**change)  # type: ignore[arg-type]
    loads = judged(tmp_path, tensors, uniform("FP8")).loads
    assert loads.answer is Answer.UNKNOWN
    assert message in loads.unknown_because


def test_a_format_that_was_not_tried_is_unknown(tmp_path: Path) -> None:
    def mxfp8(module: str) -> Shapes:
        made = fp8(module, input_scale=False)
        return {**made, f"{module}.weight_scale": ("U8", (32, 1))}

    loads = judged(tmp_path, apertus(mxfp8), uniform("MXFP8")).loads
    assert loads.answer is Answer.UNKNOWN
    assert "as MXFP8" in loads.unknown_because


def test_an_invented_config_gives_no_verdict_but_what_is_likely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    known = store.learned("vllm", "0.33.0", APERTUS)
    assert known is not None
    origin = msgspec.structs.replace(known.origin, source="invented", config="")
    made_up = store.Learned("vllm", "0.33.0", False, APERTUS, origin, known.table)
    monkeypatch.setattr("ckptfix.runtimes.family.learned", lambda *_: made_up)
    loads = judged(tmp_path, apertus(), uniform("FP8")).loads
    assert loads.answer is Answer.UNKNOWN
    assert "invented config; likely yes" in loads.unknown_because
    assert not is_known(load(tmp_path), VLLM)


@pytest.mark.parametrize("key", ["made_up", "num_hidden_layers"])
def test_a_key_that_the_class_needs_and_no_config_class_has_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    import msgspec

    known = store.learned("vllm", "0.33.0", APERTUS)
    assert known is not None
    needing = msgspec.structs.replace(known.origin, needs=(key,))
    made = store.Learned("vllm", "0.33.0", False, APERTUS, needing, known.table)
    monkeypatch.setattr("ckptfix.runtimes.family.learned", lambda *_: made)
    loads = judged(tmp_path, apertus(), uniform("FP8")).loads
    if key in CONFIG:
        assert "made_up" not in loads.unknown_because
    else:
        assert loads.answer is Answer.UNKNOWN
        assert "made_up in config.json, which is missing" in loads.unknown_because


def test_another_release_than_the_learned_one_is_only_likely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    known = store.learned("vllm", "0.33.0", APERTUS)
    assert known is not None
    nearest = msgspec.structs.replace(known, is_nearest=True)
    monkeypatch.setattr("ckptfix.runtimes.family.learned", lambda *_: nearest)
    loads = judged(tmp_path, apertus(), uniform("FP8")).loads
    assert loads.answer is Answer.UNKNOWN
    assert "likely yes" in loads.unknown_because


def test_of_two_releases_only_what_the_class_does_alike_is_known_between_them() -> None:
    """vLLM 0.28.0 loads a stored head into tied embeddings, 0.33.0 does not."""
    tied = {"tie_word_embeddings": True}
    older, newer = (learned_of("Qwen2MoeForCausalLM", "vllm", v) for v in ("0.28.0", "0.33.0"))
    shapes = [t.shapes("", tied) or () for t in (older.names, between(older, newer), newer.names)]
    has_head = [["lm_head.weight" in names for names in every] for every in shapes]
    assert has_head == [[False, True], [False], [False]]


def test_formats_that_one_of_two_releases_loads_are_not_known_between_them() -> None:
    """SGLang 0.5.14 reads no MIXED_PRECISION, 0.5.16 does."""
    older, newer = (learned_of("Olmo2ForCausalLM", "sglang", v) for v in ("0.5.14", "0.5.16"))
    down = "model.layers.#.mlp.down_proj"
    tables = (older.names, between(older, newer), newer.names)
    assert [table.rows[down].proved for table in tables] == ["84", "84", "84m"]


def between(older: store.Learned, newer: store.Learned) -> Table:
    """As a release between two that were learned is answered until it is, too."""
    same = agreed_table(older.table, newer.table)
    assert same is not None
    return Table(same)


def learned_of(architecture: str, runtime: str, version: str) -> store.Learned:
    known = store.learned(runtime, version, architecture)
    assert known is not None
    return known


def test_what_stops_the_newest_release_leaves_older_ones_open(tmp_path: Path) -> None:
    """The sizes of its tensors were learned from the class of the newest one."""
    config = {"hidden_size": 32, "intermediate_size": 96, "model_type": "apertus"}
    write_checkpoint(
        tmp_path, apertus(), uniform("FP8"), architecture=APERTUS, extra_config=CONFIG | config
    )
    checkpoint = load(tmp_path)
    newest = judge(checkpoint, VLLM).loads
    older = judge(checkpoint, Target("vllm", "0.28.0", "0.28.0")).loads
    assert newest.answer is Answer.NO, newest
    assert older.answer is Answer.UNKNOWN, older
    assert "vllm 0.33.0 does not load it" in older.unknown_because


@pytest.mark.parametrize("runtime", known_runtimes())
def test_every_learned_architecture_is_registered_and_has_rows(runtime: str) -> None:
    for version in store.learned_releases(runtime):
        registered = load_profile(runtime, version).architectures
        found = store.release(runtime, version)
        assert found.architectures.keys() | found.failed.keys() <= set(registered)
        for name in found.architectures:
            known = store.learned(runtime, version, name)
            assert known is not None
            assert Table(known.table).tensors or not known.origin.single_pass


def llama() -> Shapes:
    """A layer in FP8, of an architecture that is written by hand."""
    tensors = bf16("model.embed_tokens", 64, 32) | bf16("lm_head", 64, 32)
    for part in (*LINEARS, "mlp.gate_proj"):
        tensors |= fp8(f"model.layers.0.{part}")
    for norm in ("layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm"):
        tensors[f"model.{norm}.weight"] = ("BF16", (32,))
    return tensors


@pytest.mark.parametrize("key", ["made_up.within", "num_hidden_layers"])
def test_a_written_entry_counts_on_the_keys_that_the_class_was_seen_to_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("ckptfix.runtimes.judged.needs_of", lambda *_: (key,))
    loads = judged(tmp_path, llama(), uniform("FP8"), architecture="LlamaForCausalLM").loads
    if key in CONFIG:
        assert loads.answer is Answer.YES
    else:
        assert loads.answer is Answer.UNKNOWN
        assert "made_up.within in config.json, which is missing" in loads.unknown_because


def test_needed_keys_are_known_for_releases_that_were_not_learned() -> None:
    """SGLang 0.5.23 stops without each of them; no config class fills one in."""
    needed = ("moe_layer_freq", "scoring_func", "topk_method")
    for version in ("0.5.23", "0.5.20"):
        assert store.needs_of("sglang", version, "DeepseekV32ForCausalLM") == needed
    assert store.needs_of("sglang", "0.5.14", "DeepseekV32ForCausalLM") == needed[::2]
    assert store.needs_of("sglang", "0.5.23", "LlamaForCausalLM") == ()


def test_the_rows_of_an_architecture_are_printed(call: Call) -> None:
    done = call("runtimes", APERTUS, "--runtime", "vllm==0.33.0", "--json")
    assert done.returncode == 0
    [release] = json.loads(done.stdout)
    assert (release["config_source"], release["config"]) == ("library", "ApertusConfig")
    rows = {row["stored"]: row for row in release["rows"]}
    assert rows["model.layers.#.self_attn.k_proj"] == {
        "stored": "model.layers.#.self_attn.k_proj",
        "place": "model.layers.#.self_attn.qkv_proj",
        "asked": "model.layers.#.self_attn.qkv_proj",
        "kind": "linear",
    }
    assert rows["model.embed_tokens"]["kind"] == "embedding"
    text = call("runtimes", APERTUS, "--runtime", "vllm==0.33.0").stdout
    assert "apertus.py in 0.33.0, built with the library's ApertusConfig" in text


def test_rows_need_an_architecture_that_the_release_registers(call: Call) -> None:
    assert "--runtime needs an architecture" in call("runtimes", "--runtime", "vllm").stderr
    done = call("runtimes", "NeverHeardOf", "--runtime", "vllm==0.33.0")
    assert done.returncode == 2
    assert "NeverHeardOf: not registered in vllm 0.33.0" in done.stderr


def test_a_config_of_a_type_that_the_class_was_not_built_with_is_unknown(tmp_path: Path) -> None:
    """vLLM 0.24.0 builds Olmo3ForCausalLM with a config of OLMo 2; at one of OLMo 3 it stops."""
    directory = write(exports("architectures")["Olmo3ForCausalLM-mixed"], tmp_path / "m")
    loads = judge(load(directory), Target("vllm", "0.24.0", "0.24.0")).loads
    assert loads.answer is Answer.UNKNOWN, loads
    assert "model_type olmo2" in loads.unknown_because
