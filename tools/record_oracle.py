"""Record what the real vLLM model object holds, so that tests run without vLLM.

Run it with the oracle's own interpreter (../shared/oracle/README.md), from the repository root:

    ~/.cache/ckptfix-oracle/venv/bin/python tools/record_oracle.py [NAME...]

A NAME is a fixture or an architecture of ARCHITECTURES; without one, all are recorded. Each model
is built as the oracle's level2.py builds it, and besides it is noted what the model asked its
quantization config. One file each: tests/data/oracle/FIXTURE.json, and for architectures without
a fixture tests/data/oracle/architectures/NAME.json. The latter are built without memory from the
default config of transformers, a few layers deep, as if all were FP8; the checkpoint's names are
those that transformers would save. vLLM is imported once, and every model is built in a fork of
that process, because a process holds one model's global state only.
"""

import importlib
import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from oracle_vllm import Lookups, complete_placeholders, record_lookups, without_device

ROOT: Final = Path(__file__).resolve().parents[1]
SHARED: Final = ROOT.parent / "shared"
RECORDS: Final = ROOT / "tests" / "data" / "oracle"
CAPABILITY: Final = (10, 0)
"""Blackwell: the compute capability for which vLLM takes every ModelOpt format."""

OVERRIDES: Final[dict[str, dict[str, Any]]] = {
    # The fixture's config lacks a field that vLLM reads without a default.
    "qwen3vlmoe-nvfp4": {"text_config": {"norm_topk_prob": True}},
}

QUANTIZATION: Final = {
    "quant_method": "modelopt",
    "quant_algo": "FP8",
    "ignore": [],
    "producer": {"name": "modelopt", "version": "0.47.0"},
}

LFM2: Final[dict[str, Any]] = {
    # Published configs have both sizes; the class in transformers has not.
    "block_dim": 2560,
    "conv_dim": 2560,
    "layer_types": ["conv", "full_attention"],
    "num_hidden_layers": 2,
}

ARCHITECTURES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    # architecture: class of its config in transformers, changes to the defaults
    "DeepseekV3ForCausalLM": ("DeepseekV3Config", {}),
    "FalconH1ForCausalLM": ("FalconH1Config", {}),
    "Gemma2ForCausalLM": ("Gemma2Config", {}),
    "Gemma3ForCausalLM": ("Gemma3TextConfig", {}),
    "Gemma3ForConditionalGeneration": ("Gemma3Config", {}),
    "Gemma4ForConditionalGeneration": (
        "Gemma4Config",
        {"vision_config": {"model_type": "gemma4_vision"}},
    ),
    "Glm4ForCausalLM": ("Glm4Config", {}),
    "Glm4MoeForCausalLM": ("Glm4MoeConfig", {"head_dim": 128}),
    "GptOssForCausalLM": ("GptOssConfig", {}),
    "GraniteForCausalLM": ("GraniteConfig", {}),
    "GraniteMoeForCausalLM": ("GraniteMoeConfig", {}),
    "GraniteMoeHybridForCausalLM": (
        "GraniteMoeHybridConfig",
        {"layer_types": ["mamba", "attention"], "num_hidden_layers": 2, "num_local_experts": 4},
    ),
    "Llama4ForConditionalGeneration": ("Llama4Config", {}),
    "LlavaForConditionalGeneration": ("LlavaConfig", {}),
    "MiniMaxM2ForCausalLM": ("MiniMaxM2Config", {"rotary_dim": 64, "scoring_func": "sigmoid"}),
    "Mistral3ForConditionalGeneration": ("Mistral3Config", {}),
    "MistralForCausalLM": ("MistralConfig", {}),
    "MixtralForCausalLM": ("MixtralConfig", {}),
    "Phi3ForCausalLM": ("Phi3Config", {}),
    "Qwen2ForCausalLM": ("Qwen2Config", {}),
    "Qwen2MoeForCausalLM": ("Qwen2MoeConfig", {}),
    "Qwen3ForCausalLM": ("Qwen3Config", {}),
    "Qwen3NextForCausalLM": ("Qwen3NextConfig", {}),
    "Qwen3VLForConditionalGeneration": ("Qwen3VLConfig", {}),
    "Qwen3_5ForConditionalGeneration": ("Qwen3_5Config", {}),
    "Qwen3_5MoeForConditionalGeneration": ("Qwen3_5MoeConfig", {}),
    "DeepseekV4ForCausalLM": ("DeepseekV4Config", {}),
    "Exaone4ForCausalLM": ("Exaone4Config", {}),
    "ExaoneMoeForCausalLM": ("ExaoneMoeConfig", {}),
    "Gemma4ForCausalLM": ("Gemma4TextConfig", {}),
    "GlmMoeDsaForCausalLM": (
        "GlmMoeDsaConfig",
        {"mlp_layer_types": ["dense"] + ["sparse"] * 77},
    ),
    "Lfm2ForCausalLM": (
        "Lfm2Config",
        LFM2,
    ),
    "Lfm2MoeForCausalLM": (
        "Lfm2MoeConfig",
        {"layer_types": ["conv", "full_attention", "conv"], "num_hidden_layers": 3},
    ),
    "Lfm2VlForConditionalGeneration": (
        "Lfm2VlConfig",
        {"text_config": {"model_type": "lfm2", **LFM2}},
    ),
    "Llama4ForCausalLM": ("Llama4TextConfig", {}),
    "Qwen3_5ForCausalLM": ("Qwen3_5TextConfig", {}),
    "Qwen3_5MoeForCausalLM": ("Qwen3_5MoeTextConfig", {}),
    "Zamba2ForCausalLM": ("Zamba2Config", {}),
}
LAYERS: Final = 4
"""Enough for one layer of every kind."""
EXPERTS: Final = 2


def _rows(modules: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    for row in modules:
        if row["quant_method"] is None:
            continue
        kept = {"class": row["class"], "method": row["quant_method"]}
        if row["prefix"] not in (None, row["module"]):
            kept["prefix"] = row["prefix"]
        if "weight_key" in row:
            kept["weight"] = row["weight_key"]
            kept["activation"] = row["act_key"]
        yield row["module"], kept


def _reason(error: Exception) -> str:
    """One line; of pydantic's report the line that holds the runtime's own words."""
    lines = [line.strip() for line in str(error).splitlines()] or ["no message"]
    own = [line.partition(" [type=")[0] for line in lines if line.startswith("Value error, ")]
    return own[0].removeprefix("Value error, ") if own else lines[0]


def _built(build: Callable[[], tuple[Any, Any]]) -> dict[str, Any]:
    asked: Lookups = {}
    try:
        record_lookups(asked)
        model, config = build()
    except Exception as error:  # noqa: BLE001 - whatever keeps vLLM from building is the record
        traceback.print_exc()
        return {"could_not_build": f"{type(error).__name__}: {_reason(error)}"}
    modules = importlib.import_module("l2common").dump_modules(model)
    return {
        "model_class": type(model).__name__,
        "quant_config_class": type(config.quant_config).__name__,
        "asked": asked,
        "modules": dict(_rows(modules)),
    }


def _record_fixture(fixture: Path) -> dict[str, Any]:
    overrides = OVERRIDES.get(fixture.name, {})
    build = importlib.import_module("l2common").build
    built = _built(lambda: build(str(fixture), CAPABILITY, hf_overrides=overrides))
    return {"fixture": fixture.name, "overrides": overrides} | built


def _shorten(config: dict[str, Any]) -> None:
    """Few layers and few experts, in the config and in those within it."""
    for value in config.values():
        if isinstance(value, dict):
            _shorten(value)
    config.pop("per_layer_config", None)  # transformers makes it again, for the layers there are
    layers = config.get("num_hidden_layers")
    if isinstance(layers, int) and layers > LAYERS:
        for key, value in config.items():
            if isinstance(value, list) and len(value) == layers:
                config[key] = value[:LAYERS]
        config["num_hidden_layers"] = LAYERS
    for key, most in (("depth", 2), ("first_k_dense_replace", 1)):
        if isinstance(config.get(key), int):
            config[key] = min(config[key], most)


def _saved_names(config: dict[str, Any], config_class: str) -> dict[str, list[int]]:
    """The tensors that transformers would write for this model, by name, with shapes."""
    transformers = importlib.import_module("transformers")
    loading = importlib.import_module("transformers.core_model_loading")
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    settings = getattr(transformers, config_class)(**plain)
    with importlib.import_module("torch").device("meta"):
        model = getattr(transformers, config["architectures"][0])(settings)
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    state = {k: v for k, v in model.state_dict().items() if k not in tied}
    saved = loading.revert_weight_conversion(model, state)
    return {
        name: list(saved[name].shape)
        for name in sorted(saved)
        # Of many experts two show the names.
        if not (expert := re.search(r"\.experts\.(\d+)\.", name)) or int(expert[1]) < EXPERTS
    }


def _record_architecture(name: str) -> dict[str, Any]:
    config_class, changes = ARCHITECTURES[name]
    transformers = importlib.import_module("transformers")
    config = getattr(transformers, config_class)().to_dict() | changes
    _shorten(config)
    complete_placeholders()
    config |= {"architectures": [name], "quantization_config": QUANTIZATION}
    head = {"architecture": name, "transformers": transformers.__version__}
    tensors = _saved_names(config, config_class)
    without_device()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config, default=str))
        build = importlib.import_module("l2common").build
        built = _built(lambda: build(folder, CAPABILITY, device="meta"))
    return head | {"tied": bool(config.get("tie_word_embeddings")), "tensors": tensors} | built


def _text(record: dict[str, Any]) -> str:
    """JSON with one line a module: small, and readable in a diff."""
    parts = []
    for key, value in record.items():
        if key in ("asked", "modules", "tensors"):
            rows = ",\n".join(f"  {json.dumps(n)}: {json.dumps(row)}" for n, row in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{rows}\n }}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _record(name: str, version: str) -> None:
    if name in ARCHITECTURES:
        made, path = _record_architecture(name), RECORDS / "architectures" / f"{name}.json"
    else:
        made, path = _record_fixture(SHARED / "fixtures" / name), RECORDS / f"{name}.json"
    how = {"runtime": "vllm", "version": version, "made_by": "tools/record_oracle.py"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(how | made), encoding="utf-8")
    print(f"{name}: {made.get('could_not_build') or len(made['modules'])}", flush=True)


def main(names: list[str]) -> None:
    """Record these fixtures and architectures; all when there are none."""
    sys.path.insert(0, str(SHARED / "oracle"))
    importlib.import_module("boot").boot(CAPABILITY)
    version = str(importlib.import_module("vllm").__version__)
    importlib.import_module("vllm.model_executor.model_loader.utils")
    importlib.import_module("vllm.model_executor.layers.quantization.modelopt")
    fixtures = sorted(path.name for path in (SHARED / "fixtures").iterdir() if path.is_dir())
    for name in names or [*fixtures, *ARCHITECTURES]:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _record(name, version)
                status = 0
            except Exception:  # noqa: BLE001 - the child ends here, with nobody to raise to
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1] != 0:
            print(f"{name}: the recorder broke off", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
