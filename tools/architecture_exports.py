"""Make a small ModelOpt export of every architecture that the transformers library builds.

    make architectures    # runs this twice, then record_architectures.py

With `--changes` before OUT there is one for each change of the config (`architecture_changes.py`)
that changes the names, dtypes or shapes of the tensors, in the first style only.

Runs in the environment of `../shared/oracle`, with its `published` and `learn` on the path:
`synthesize.py` there turns the names of the library into those of checkpoints, and names in
metadata into stored formats. Configs are the library's own defaults, made small; files of weights
are headers with holes. OUT gets a folder for each architecture and style.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import synthesize
import transformers
from core import configs, environment

from architecture_changes import PARTS, changes, merged

STYLES: Final = ("nvfp4", "mixed", "uncached")
"""ModelOpt's default recipe for NVFP4, FP8 for attention beside it, and NVFP4 without scales of a
cache, which not every class takes."""
LAYERS: Final = 4
SMALL: Final = {
    "hidden_size": 512, "intermediate_size": 1024, "moe_intermediate_size": 256,
    "shared_expert_intermediate_size": 256, "num_attention_heads": 8, "num_key_value_heads": 4,
    "head_dim": 64, "vocab_size": 1024,
}  # fmt: skip
"""Sizes of a language model, except one with a state space, whose sizes depend on each other."""
EXPERTS: Final = re.compile(r"(num_experts|n_routed_experts|num_local_experts)$")
ROUTERS: Final = re.compile(
    r"(\brouter\b.*|\.gate|shared_expert_gate|conv1d|lm_head|embed_\w+|indexer\.weights_proj)$"
)
"""Modules that ModelOpt's recipes leave alone."""
TOWERS: Final = re.compile(
    r"(.*?(vision|visual|multi_modal_projector|mm_projector|audio|connector|talker|code2wav)[^.]*)"
)
ATTENTION: Final = re.compile(r"attn|attention|mixer\.(in|out)_proj|mamba")


def small(config: dict[str, Any]) -> dict[str, Any]:
    """A config with small sizes, few experts and layers."""
    depends = any("mamba" in key or key in {"expand", "state_size"} for key in config)
    for key, value in config.items():
        if key in PARTS and isinstance(value, dict):
            config[key] = small(value)
        elif EXPERTS.search(key) and isinstance(value, int):
            config[key] = 8
        elif key in SMALL and type(value) is int and not depends:
            config[key] = SMALL[key]
    shrunk: dict[str, Any] = configs.shrink(config, LAYERS)
    return shrunk


def whole(config: dict[str, Any]) -> dict[str, Any]:
    """A config that JSON holds and that fits its vocabulary."""
    kept = {}
    for key, value in config.items():
        if key == "time_step_limit":
            continue  # may be infinite
        fits = key != "pad_token_id" or value is None or value < config.get("vocab_size", 1024)
        kept[key] = whole(value) if isinstance(value, dict) else value if fits else 0
    return kept


def config_of(architecture: str) -> dict[str, Any]:
    """config.json of a small model, with every value that the library writes."""
    config_class = getattr(transformers, synthesize.CLASSES.get(architecture, architecture))
    config_class = config_class.config_class
    values = whole(small(config_class().to_dict()))
    values = json.loads(json.dumps(values, default=str))
    given = {k: v for k, v in values.items() if k not in {"model_type", "architectures"}}
    written = whole(json.loads(config_class.from_dict(given).to_json_string(use_diff=False)))
    own = {"architectures": [architecture], "model_type": config_class.model_type}
    return {**written, **own, "dtype": "bfloat16"}


def metadata(style: str, linears: list[str]) -> dict[str, Any]:
    """`quantization` of hf_quant_config.json, as ModelOpt's default recipes write it."""
    left = [name for name in linears if ROUTERS.search(name) or TOWERS.match(name)]
    towers = {found[1] + "*" for name in left if (found := TOWERS.match(name))}
    plain = {name for name in left if not TOWERS.match(name)}
    kept = {"exclude_modules": sorted(plain | towers | {"lm_head"}), "kv_cache_quant_algo": None}
    if style != "mixed":
        cache = "FP8" if style == "nvfp4" else None
        return {**kept, "quant_algo": "NVFP4", "group_size": 16, "kv_cache_quant_algo": cache}
    entries = {
        name: {"quant_algo": "FP8"}
        if ATTENTION.search(name)
        else {"quant_algo": "NVFP4", "group_size": 16}
        for name in linears
        if name not in left
    }
    return {**kept, "quant_algo": "MIXED_PRECISION", "quantized_layers": entries}


def flat(quantization: dict[str, Any]) -> dict[str, Any]:
    """The same as `quantization_config` of config.json."""
    out = {"quant_method": "modelopt", "quant_algo": quantization["quant_algo"]}
    out |= {"ignore": quantization["exclude_modules"]}
    if quantization["kv_cache_quant_algo"]:
        out["kv_cache_scheme"] = {"dynamic": False, "num_bits": 8, "type": "float"}
    if "quantized_layers" in quantization:
        return {**out, "quantized_layers": quantization["quantized_layers"]}
    scheme = {"dynamic": False, "type": "float", "num_bits": 4, "group_size": 16}
    group = {"input_activations": scheme, "weights": scheme, "targets": ["Linear"]}
    return {**out, "config_groups": {"group_0": group}}


def export(config: dict[str, Any], out: Path, style: str) -> list[Any]:
    """Write one model in a style; its tensors, as rows of `synthesize`."""
    tensors = synthesize.library(config)
    counted = config if "num_hidden_layers" in config.get("text_config", config) else None
    if counted is not None:
        tensors = synthesize.published(config, tensors)
    linears = [
        name.removesuffix(".weight")
        for name, (shape, is_linear) in tensors.items()
        if is_linear and len(shape) == 2
    ]
    quantization = metadata(style, linears)
    producer = {"name": "modelopt", "version": "0.44.0"}
    hf = {"producer": producer, "quantization": quantization}
    given = {**config, "quantization_config": flat(quantization)}
    counts = given if counted is not None else {**given, "num_hidden_layers": LAYERS}
    table = [
        row
        for row in synthesize.rows(counts, hf, tensors, kv=True)
        if not (TOWERS.match(row[0]) and row[0].endswith(("k_scale", "v_scale")))
    ]
    files = {"config.json": given, "hf_quant_config.json": hf}
    synthesize.write(files, str(out), table, "full", 0)
    return table


def export_changes(architecture: str, out: Path) -> None:
    """Write one architecture with every change of its config that its tensors show."""
    config, style = config_of(architecture), STYLES[0]
    with tempfile.TemporaryDirectory() as scratch:
        before = export(config, Path(scratch) / "before", style)
        for name, change in changes(architecture, config):
            made = Path(scratch) / name
            try:
                table = export(merged(config, change), made, style)
            except Exception as error:  # whatever the library raises for a made-up config
                _report(f"{architecture} {name}", error)
                continue
            if table != before:
                shutil.move(made, out / f"{architecture}-{style}-{name}")


def _report(what: str, error: Exception) -> None:
    print(f"{what}: {type(error).__name__}: {str(error)[:120]}", flush=True)


def architectures() -> list[str]:
    """Every generating model class of the library."""
    ends = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
    return sorted(name for name in dir(transformers) if name.endswith(ends))


def main() -> None:
    """Make all, or those that are named; what the library cannot build is reported."""
    changed = "--changes" in sys.argv
    out, *named = (argument for argument in sys.argv[1:] if argument != "--changes")
    environment.prepare()
    environment.overlay()
    environment.prepare = environment.overlay = lambda *_, **__: None  # once is enough
    for architecture in named or architectures():
        try:
            if changed:
                export_changes(architecture, Path(out))
            else:
                for style in STYLES:
                    export(config_of(architecture), Path(out) / f"{architecture}-{style}", style)
        except Exception as error:  # whatever the library raises for a made-up config
            _report(architecture, error)


if __name__ == "__main__":
    main()
