"""The checkpoints: sound ones of every kind, and the same with one fault."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mistral_cases.faults import FAULTS, Edit
from mistral_cases.models import VOCABULARY, WIDTH, dense, latent, seeing, sparse
from mistral_cases.quantized import (
    Export,
    Tensors,
    compressed,
    modelopt_fp8,
    own_fp8,
)

PARAMS: Final = "params.json"
SINGLE: Final = "consolidated.safetensors"
INDEX: Final = "consolidated.safetensors.index.json"
_LATENT_IGNORE: Final = (
    "model.embed_tokens",
    "re:patch_merger.*",
    "re:vision_encoder.*",
    "re:vision_language_adapter.*",
    "re:.*kv_a_proj_with_mqa$",
    "re:.*q_a_proj$",
    "re:.*gate$",
    "lm_head",
)
"""As Mistral Large 3 and Mistral Small 4 list them, in the names of the runtime."""
_LATENT_OWN: Final = ("re:.*wkv_a_with_mqa$", "re:.*wq_a$", "re:.*gate$", "output")
"""The same in the names of the checkpoint, which no release maps in an expression."""


@dataclass(frozen=True)
class Made:
    """A checkpoint."""

    slug: str
    did: str
    files: Mapping[str, str]
    shards: Mapping[str, Tensors]


def _a_proj(name: str) -> bool:
    return name.endswith(("wq_a", "wkv_a_with_mqa"))


def _in_attention(name: str) -> bool:
    return ".attention." in name


_SOUND: Final[Mapping[str, tuple[str, Callable[[], Export]]]] = {
    "dense-fp8": ("dense, FP8 of Mistral's own", lambda: own_fp8(dense())),
    "dense-fp8-default": (
        "dense, FP8 without qscheme_act",
        lambda: own_fp8(dense(), activations=None),
    ),
    "dense-fp8-dynamic": (
        "dense, FP8 with dynamic inputs",
        lambda: own_fp8(dense(), activations="NO_SCALES"),
    ),
    "dense-fp8-tied": (
        "dense with a tied head, FP8",
        lambda: own_fp8(dense(tied_embeddings=True)),
    ),
    "dense-fp8-yarn": (
        "dense with yarn, as Ministral 3 and Devstral 2",
        lambda: own_fp8(
            dense(
                q_lora_rank=None,
                kv_lora_rank=None,
                qk_nope_head_dim=None,
                qk_rope_head_dim=None,
                v_head_dim=None,
                yarn={
                    "original_max_position_embeddings": 2048,
                    "factor": 2,
                    "apply_scale": True,
                    "beta": 4,
                    "alpha": 1,
                },
            )
        ),
    ),
    "dense-fp8-windows": (
        "dense with a list of sliding windows, as Ministral 8B",
        lambda: own_fp8(dense(sliding_window=[None, 1024])),
    ),
    "pixtral-fp8": ("Pixtral 12B's tower, FP8", lambda: own_fp8(seeing(dense(), merger=False))),
    "small3-fp8": ("the tower of Mistral Small 3.1, FP8", lambda: own_fp8(seeing(dense()))),
    "mistral-large-3-fp8": ("Mistral Large 3, FP8", lambda: own_fp8(seeing(latent()))),
    "mistral-large-3-text-fp8": (
        "Mistral Large 3 without the tower, FP8",
        lambda: own_fp8(latent()),
    ),
    "mistral-large-3-nvfp4": (
        "Mistral Large 3, NVFP4 of compressed-tensors",
        lambda: compressed(seeing(latent()), "nvfp4", ignore=_LATENT_IGNORE, left_out=_a_proj),
    ),
    "mistral-large-3-text-nvfp4": (
        "the same without the tower",
        lambda: compressed(latent(), "nvfp4", ignore=_LATENT_IGNORE, left_out=_a_proj),
    ),
    "mistral-small-4-nvfp4": (
        "Mistral Small 4, NVFP4 but for the attention",
        lambda: compressed(
            seeing(latent()),
            "nvfp4",
            ignore=(*_LATENT_IGNORE[:-1], "re:.*self_attn.*", "re:.*attention.*", "lm_head"),
            left_out=_in_attention,
        ),
    ),
    "mistral-large-3-nvfp4-in-quantization": (
        "the metadata under `quantization`",
        lambda: compressed(
            seeing(latent()),
            "nvfp4",
            ignore=_LATENT_IGNORE,
            left_out=_a_proj,
            key="quantization",
        ),
    ),
    "mistral-large-3-nvfp4-own-names": (
        "the list has expressions in the names of the checkpoint",
        lambda: compressed(seeing(latent()), "nvfp4", ignore=_LATENT_OWN, left_out=_a_proj),
    ),
    "mistral-large-3-text-nvfp4-own-paths": (
        "the list has whole names of the checkpoint",
        lambda: compressed(
            latent(),
            "nvfp4",
            ignore=[
                *(f"layers.{n}.attention.{p}" for n in (0, 1) for p in ("wq_a", "wkv_a_with_mqa")),
                "output",
            ],
            left_out=_a_proj,
        ),
    ),
    "unnamed-large-nvfp4": (
        "Mistral Large 3 in a directory of another name",
        lambda: compressed(seeing(latent()), "nvfp4", ignore=_LATENT_IGNORE, left_out=_a_proj),
    ),
    "dense-nvfp4": (
        "dense, NVFP4: vLLM turns no packed codes of wq and wk",
        lambda: compressed(dense(), "nvfp4", ignore=["lm_head"]),
    ),
    "dense-nvfp4-not-attention": (
        "dense, NVFP4 but for the attention",
        lambda: compressed(
            dense(), "nvfp4", ignore=["lm_head", "re:.*self_attn.*"], left_out=_in_attention
        ),
    ),
    "dense-fp8-channels": (
        "dense, FP8 by channel: vLLM turns no weight_scale of wq and wk",
        lambda: compressed(dense(), "fp8", ignore=["lm_head"]),
    ),
    "dense-fp8-channels-own": (
        "dense, FP8 by channel, the scales called qscale_weight",
        lambda: compressed(dense(), "fp8", ignore=["lm_head"], scale="qscale_weight"),
    ),
    "dense-modelopt-fp8": ("dense, FP8 of ModelOpt", lambda: modelopt_fp8(dense())),
    "small3-modelopt-fp8": (
        "the tower of Mistral Small 3.1, FP8 of ModelOpt",
        lambda: modelopt_fp8(seeing(dense()), ignore=("language_model.lm_head",)),
    ),
    "mistral-large-3-modelopt-fp8": (
        "Mistral Large 3 without the tower, FP8 of ModelOpt",
        lambda: modelopt_fp8(latent()),
    ),
    "mixtral-fp8": ("Mixtral, FP8", lambda: own_fp8(sparse())),
}


def every() -> Iterator[Made]:
    """All of them, sound ones first."""
    for slug, (did, export) in _SOUND.items():
        params, tensors = export()
        yield _written(slug, did, Edit(params, tensors))
    for origin, faults in FAULTS.items():
        for fault, edit in faults.items():
            params, tensors = _SOUND[origin][1]()
            made = Edit(params, tensors)
            edit(made)
            yield _written(f"{origin}-{fault}", f"{_SOUND[origin][0]}: {fault}", made)
    yield from _laid_out_otherwise()


def _written(slug: str, did: str, made: Edit) -> Made:
    files = {PARAMS: json.dumps(made.params, indent=2), **made.files}
    return Made(slug, did, files, {SINGLE: made.tensors})


def _laid_out_otherwise() -> Iterator[Made]:
    """In several files, and next to files in the format of transformers."""
    params, tensors = own_fp8(dense())
    text = json.dumps(params, indent=2)
    names = sorted(tensors)
    half = len(names) // 2
    files = {
        f"consolidated-0000{n}-of-00002.safetensors": {name: tensors[name] for name in part}
        for n, part in ((1, names[:half]), (2, names[half:]))
    }
    index = {"metadata": {}, "weight_map": {n: f for f, held in files.items() for n in held}}
    yield Made(
        "sharded", "dense, FP8, two files and an index",
        {PARAMS: text, INDEX: json.dumps(index)}, files,
    )  # fmt: skip
    yield Made("sharded-no-index", "dense, FP8, two files without an index", {PARAMS: text}, files)
    stray: Tensors = {"layers.9.attention_norm.weight": ("BF16", (WIDTH,))}
    one = {"metadata": {}, "weight_map": dict.fromkeys(tensors, SINGLE)}
    yield Made(
        "unlisted-file", "the index does not name a second file",
        {PARAMS: text, INDEX: json.dumps(one)},
        {SINGLE: tensors, "consolidated-old.safetensors": stray},
    )  # fmt: skip
    yield from _beside_transformers(text, tensors)


_RENAMED: Final = {
    "tok_embeddings": "model.embed_tokens", "output.": "lm_head.", "layers.": "model.layers.",
    "attention.w": "self_attn.", "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj", "feed_forward.w3": "mlp.up_proj",
    "qscale_weight": "weight_scale", "qscale_act": "input_scale",
}  # fmt: skip


def _of_transformers(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    for letter in "qkvo":
        name = name.replace(f"self_attn.{letter}.", f"self_attn.{letter}_proj.")
    return f"model.{name}" if name.startswith("norm.") else name


def _beside_transformers(params: str, tensors: Tensors) -> Iterator[Made]:
    config = {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": WIDTH,
        "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0, "max_position_embeddings": 4096, "hidden_act": "silu",
        "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "fp8", "activation_scheme": "static"},
    }  # fmt: skip
    theirs = {_of_transformers(name): tensor for name, tensor in tensors.items()}
    broken = {k: v for k, v in theirs.items() if k != "model.layers.1.mlp.down_proj.weight"}
    ours = {k: v for k, v in tensors.items() if k != "layers.1.feed_forward.w2.weight"}
    both = {PARAMS: params, "config.json": json.dumps(config, indent=2)}
    single = "model.safetensors"
    yield Made("both", "both formats, sound", both, {SINGLE: tensors, single: theirs})
    yield Made(
        "both-theirs-broken", "both formats, a weight missing in model.safetensors",
        both, {SINGLE: tensors, single: broken},
    )  # fmt: skip
    yield Made(
        "both-own-broken", "both formats, a weight missing in consolidated.safetensors",
        both, {SINGLE: ours, single: theirs},
    )  # fmt: skip
    yield Made(
        "config-and-consolidated", "both configs, only Mistral's weights",
        both, {SINGLE: tensors},
    )  # fmt: skip
    yield Made(
        "config-of-theirs-only", "config.json and consolidated.safetensors, no params.json",
        {"config.json": both["config.json"]}, {SINGLE: tensors},
    )  # fmt: skip
    bare = json.loads(params)
    del bare["quantization"]
    yield Made(
        "both-declared-in-config", "both formats, only config.json declares the quantization",
        {**both, PARAMS: json.dumps(bare)}, {SINGLE: tensors, single: theirs},
    )  # fmt: skip
    yield Made(
        "params-and-theirs", "params.json beside config.json and model.safetensors",
        both, {single: theirs},
    )  # fmt: skip
