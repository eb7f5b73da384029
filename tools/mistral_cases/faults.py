"""Faults: one change of a checkpoint each, named for what it does."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mistral_cases.models import VOCABULARY, WIDTH
from mistral_cases.quantized import Tensors


@dataclass
class Edit:
    """A checkpoint before it is written."""

    params: dict[str, Any]
    tensors: Tensors
    files: dict[str, str] = field(default_factory=dict)


Fault = Callable[[Edit], None]


def _drop(*ends: str) -> Fault:
    def edit(made: Edit) -> None:
        gone = [name for name in made.tensors if name.endswith(ends)]
        assert gone, ends
        for name in gone:
            del made.tensors[name]

    return edit


def _drop_below(start: str) -> Fault:
    def edit(made: Edit) -> None:
        kept = {name: t for name, t in made.tensors.items() if not name.startswith(start)}
        assert len(kept) < len(made.tensors), start
        made.tensors = kept

    return edit


def _add(name: str, *shape: int, dtype: str = "BF16") -> Fault:
    def edit(made: Edit) -> None:
        made.tensors[name] = dtype, shape

    return edit


def _rename(old: str, new: str) -> Fault:
    def edit(made: Edit) -> None:
        made.tensors = {k.replace(old, new): v for k, v in made.tensors.items()}

    return edit


def _set(**values: Any) -> Fault:  # noqa: ANN401 - JSON
    def edit(made: Edit) -> None:
        made.params |= values

    return edit


def _unset(*keys: str) -> Fault:
    def edit(made: Edit) -> None:
        for key in keys:
            del made.params[key]

    return edit


def _under(key: str, **values: Any) -> Fault:  # noqa: ANN401 - JSON
    def edit(made: Edit) -> None:
        made.params[key] = {**made.params[key], **values}

    return edit


def _cache_scales(below: str) -> Fault:
    """Scales of a cache, one of which Mistral Large 3 in NVFP4 has in its tower."""

    def edit(made: Edit) -> None:
        for number in (0, 1):
            for what in ("k", "v"):
                name = f"{below}layers.{number}.attention.{what}_fake_quantizer.qscale_act"
                made.tensors[name] = "F32", ()

    return edit


def _quantize(name: str, *shape: int) -> Fault:
    def edit(made: Edit) -> None:
        made.tensors[f"{name}.weight"] = "F8_E4M3", shape
        made.tensors[f"{name}.qscale_weight"] = "F32", ()
        made.tensors[f"{name}.qscale_act"] = "F32", ()

    return edit


def _move_metadata(made: Edit) -> None:
    made.params["quantization"] = made.params.pop("quantization_config")


def _beside(made: Edit) -> None:
    """The metadata in ModelOpt's own file."""
    del made.params["quantization_config"]
    quantization = {
        "quant_algo": "FP8",
        "kv_cache_quant_algo": None,
        "exclude_modules": ["lm_head"],
    }
    producer = {"name": "modelopt", "version": "0.47.0"}
    made.files["hf_quant_config.json"] = json.dumps(
        {"producer": producer, "quantization": quantization}
    )


FAULTS: Final[Mapping[str, Mapping[str, Fault]]] = {
    "dense-fp8": {
        "no-layer": _drop_below("layers.1."),
        "one-layer-more": _set(n_layers=1),
        "no-norm": _drop("layers.1.ffn_norm.weight"),
        "no-w2": _drop("layers.1.feed_forward.w2.weight"),
        "no-scale": _drop("layers.1.feed_forward.w2.qscale_weight"),
        "no-input-scale": _drop("layers.1.attention.wq.qscale_act"),
        "no-head": _drop("output.weight"),
        "no-embeddings": _drop("tok_embeddings.weight"),
        "stray": _add("layers.1.attention.extra.weight", WIDTH, WIDTH),
        "stray-layer": _add("layers.2.attention_norm.weight", WIDTH),
        "prefix": _rename("layers.", "model.layers."),
        "wrong-prefix": _rename("layers.", "transformer.layers."),
        "cache-scales": _cache_scales(""),
        "vocabulary": _set(vocab_size=VOCABULARY * 2),
        "width": _set(hidden_dim=1024),
        "no-head-dim": _unset("head_dim"),
        "unknown-scheme": _under("quantization", qformat_weight="int8"),
        "unknown-activations": _under("quantization", qscheme_act="TOKEN"),
        "not-declared": _unset("quantization"),
        "head-quantized": _quantize("output", VOCABULARY, WIDTH),
        "tied-but-stored": _set(tied_embeddings=True),
        "string-window": _set(sliding_window="1024"),
        "yarn-key": _set(yarn={"factor": 2.0, "beta_slow": 1}),
        "other-names": _rename("attention.w", "attention.x"),
    },
    "small3-fp8": {
        "no-tower-layer": _drop_below("vision_encoder.transformer.layers.1."),
        "no-merger": _drop("patch_merger.merging_layer.weight"),
        "undeclared-merger": _under("vision_encoder", mm_projector_id=""),
        "no-adapter": _drop("vision_language_adapter.w_in.weight"),
        "tower-stray": _add("vision_encoder.transformer.extra.weight", 64, 64),
        "tower-stray-q": _add("vision_encoder.transformer.layers.2.attention.wq.weight", 64, 64),
        "tower-quantizers": _cache_scales("vision_encoder.transformer."),
        "tower-quantized": _quantize(
            "vision_encoder.transformer.layers.0.attention.wo", 64, 64
        ),
        "adapter-bias": _add("vision_language_adapter.w_in.bias", WIDTH),
        "tower-size": _under("vision_encoder", intermediate_size=256),
        "language-model-prefix": _rename("layers.", "language_model.layers."),
    },
    "pixtral-fp8": {
        "no-bias": _drop("vision_language_adapter.w_in.bias"),
        "no-norm": _drop("layers.1.ffn_norm.weight"),
    },
    "mistral-large-3-text-fp8": {
        "no-norm": _drop("layers.1.ffn_norm.weight"),
        "no-expert": _drop_below("layers.1.experts.3."),
        "no-scaling": _unset("llama_4_scaling"),
        "scaling-key": _set(llama_4_scaling={"beta": 0.1}),
        "stray": _add("layers.1.attention.extra.weight", WIDTH, WIDTH),
        "dense-name": _rename("wq_a", "wq"),
        "cache-scales": _cache_scales(""),
    },
    "mistral-large-3-nvfp4": {
        "nothing-ignored": _under("quantization_config", ignore=[]),
        "no-expert-member": _drop_below("layers.1.experts.3.w1."),
        "no-global-scale": _drop("layers.1.shared_experts.w2.weight_global_scale"),
        "no-scale": _drop("layers.1.experts.0.w2.weight_scale"),
        "stray": _add("layers.1.experts.0.w2.output_scale", dtype="F32"),
        "tower-quantizers": _cache_scales("vision_encoder.transformer."),
        "method": _under("quantization_config", quant_method="compressed_tensors"),
        "no-method": _under("quantization_config", quant_method=None),
    },
    "mistral-large-3-nvfp4-in-quantization": {
        "method": _under("quantization", quant_method="modelopt"),
    },
    "dense-modelopt-fp8": {
        "own-ignore": _under("quantization_config", ignore=["output"]),
        "all-ignored": _under("quantization_config", ignore=["*self_attn*"]),
        "in-quantization": _move_metadata,
        "in-hf-quant": _beside,
    },
    "dense-fp8-channels-own": {"nothing-ignored": _under("quantization_config", ignore=[])},
}  # fmt: skip
