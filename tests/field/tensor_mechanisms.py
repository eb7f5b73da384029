"""Mechanisms of experts, scales, the KV cache and the index; as in `mechanisms.py`."""

from dataclasses import replace

from tests.builders import Shapes, bf16, fp8, nvfp4
from tests.field.pairs import HEAD, LAYER, Draft, Pair, bank, uniform


def width_that_no_kernel_takes() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    good = Draft({**nvfp4(name, 64, 64), **HEAD}, uniform("lm_head"))
    return good, replace(good, tensors={**nvfp4(name, 4304, 64), **HEAD})


def experts_excluded_one_by_one() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.self_attn.o_proj"), **bank(bf16), **HEAD}
    names = sorted({name.rpartition(".")[0] for name in bank(bf16)})
    good = Draft(tensors, uniform("lm_head", f"{LAYER}.mlp.experts*"), "Qwen3MoeForCausalLM")
    return good, replace(good, quantization=uniform("lm_head", *names))


def expert_behind_projection() -> Pair:
    good = Draft({**bank(nvfp4), **HEAD}, uniform("lm_head"), "Qwen3MoeForCausalLM")
    turned = {
        name.replace(f"{expert}.{part}_proj", f"{part}_proj.{expert}"): shape
        for expert in range(2)
        for part in ("gate", "up", "down")
        for name, shape in bank(nvfp4).items()
        if f"experts.{expert}.{part}_proj" in name
    }
    return good, replace(good, tensors={**turned, **HEAD})


def expert_without_input_scale() -> Pair:
    good, _ = expert_behind_projection()
    missing = f"{LAYER}.mlp.experts.1.up_proj.input_scale"
    return good, replace(good, tensors={n: t for n, t in good.tensors.items() if n != missing})


def no_input_scale() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    good = Draft({**nvfp4(name), **HEAD}, uniform("lm_head"))
    return good, replace(good, tensors={n: t for n, t in good.tensors.items() if "input" not in n})


def half_a_scale() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    good = Draft({**nvfp4(name), **HEAD}, uniform("lm_head"))
    return good, replace(
        good, tensors={**good.tensors, f"{name}.weight_scale": ("F8_E4M3", (32, 1))}
    )


def block_scale_under_another_name() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    good = Draft({**fp8(name, 256, 256), **HEAD}, uniform("lm_head", algo="FP8"))
    stored: Shapes = {
        f"{name}.weight": ("F8_E4M3", (256, 256)),
        f"{name}.weight_scale": ("F32", (2, 2)),
    }
    return good, replace(good, tensors={**stored, **HEAD})


def kv_setting_in_one_file() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    scheme = {"num_bits": 8, "type": "float", "dynamic": False}
    hf_quant = {
        "quant_algo": "NVFP4",
        "group_size": 16,
        "exclude_modules": ["lm_head"],
        "kv_cache_quant_algo": "FP8",
    }
    quantization = {**uniform("lm_head"), "kv_cache_scheme": scheme}
    good = Draft({**nvfp4(name), **HEAD}, quantization, hf_quant=hf_quant)
    return good, replace(good, quantization=uniform("lm_head"))


def lists_disagree() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **bf16(f"{LAYER}.mlp.gate"), **HEAD}
    both = ["lm_head", f"{LAYER}.mlp.gate"]
    hf_quant = {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": both}
    good = Draft(tensors, uniform(*both), hf_quant=hf_quant)
    return good, replace(good, hf_quant={**hf_quant, "exclude_modules": ["lm_head"]})


def kv_scales_of_projections() -> Pair:
    layers = ("model.layers.0", "model.layers.1")
    stored: Shapes = {}
    for layer in layers:
        for part in "qkvo":
            stored |= nvfp4(f"{layer}.self_attn.{part}_proj")
        stored |= {f"{layer}.self_attn.{part}_proj.{part}_scale": ("F32", ()) for part in "kv"}
        for part in ("gate", "up", "down"):
            stored |= nvfp4(f"{layer}.mlp.{part}_proj")
        for norm in ("input_layernorm", "post_attention_layernorm"):
            stored |= bf16(f"{layer}.{norm}", 32)
    stored |= bf16("model.embed_tokens") | bf16("model.norm", 32)
    quantization = uniform("lm_head")
    quantization["kv_cache_scheme"] = {"num_bits": 8, "type": "float", "dynamic": False}
    good = Draft({**stored, **HEAD}, quantization)
    lacking = f"{layers[1]}.self_attn.v_proj.v_scale"
    return good, replace(good, tensors={n: s for n, s in stored.items() if n != lacking} | HEAD)


def kv_scales_unsaid() -> Pair:
    good, _ = kv_scales_of_projections()
    return good, replace(good, quantization=uniform("lm_head"))


def index_of_other_files() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    tensors = {**nvfp4(name), **HEAD}
    right = dict.fromkeys(tensors, "model.safetensors")
    good = Draft(tensors, uniform("lm_head"), index=right)
    return good, replace(good, index={**right, f"{name}.bias": "model.safetensors"})
