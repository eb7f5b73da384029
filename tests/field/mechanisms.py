"""The smallest checkpoint that shows each mechanism behind the failures of the field.

Each function gives a healthy and a broken version of the same checkpoint.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.builders import Shapes, bf16, fp8, mixed, nvfp4
from tests.field.pairs import HEAD, LAYER, Draft, Pair, attention, uniform
from tests.field.tensor_mechanisms import (
    block_scale_under_another_name,
    expert_behind_projection,
    expert_without_input_scale,
    experts_excluded_one_by_one,
    half_a_scale,
    index_of_other_files,
    kv_scales_of_projections,
    kv_scales_unsaid,
    kv_setting_in_one_file,
    lists_disagree,
    no_input_scale,
    width_that_no_kernel_takes,
)


def entries_in_another_namespace() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **attention(fp8), **HEAD}
    layers = {
        f"{LAYER}.mlp.down_proj": "NVFP4",
        **{f"{LAYER}.self_attn.{part}_proj": "FP8" for part in "qkvo"},
    }
    wrong = {name.replace("model.", "language_model.model."): a for name, a in layers.items()}
    good = Draft(tensors, mixed(layers, ignore=["lm_head"]))
    return good, replace(good, quantization=mixed(wrong, ignore=["lm_head"]))


def patterns_in_another_namespace() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **attention(bf16), **HEAD}
    good = Draft(tensors, uniform("lm_head", f"{LAYER}.self_attn*"))
    wrong = uniform("lm_head", f"language_model.{LAYER}.self_attn*")
    return good, replace(good, quantization=wrong)


def namespace_of_a_release() -> Pair:
    inner = "language_model.backbone.layers.0.mixer"
    tensors = {
        **nvfp4(f"{inner}.up_proj"),
        **nvfp4(f"{inner}.down_proj"),
        **bf16("language_model.lm_head"),
    }
    right = mixed(
        {f"{inner.replace('backbone', 'model')}.{part}_proj": "NVFP4" for part in ("up", "down")}
    )
    wrong = mixed({f"{inner}.{part}_proj": "NVFP4" for part in ("up", "down")})
    config = {"llm_config": {"architectures": ["NemotronHForCausalLM"]}}
    good = Draft(tensors, right, "NemotronH_Nano_VL_V2", config)
    return good, replace(good, quantization=wrong)


def one_member_not_listed() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **attention(bf16), **HEAD}
    parts = [f"{LAYER}.self_attn.{part}_proj" for part in "qkvo"]
    good = Draft(tensors, uniform("lm_head", *parts))
    return good, replace(good, quantization=uniform("lm_head", *parts[1:]))


def packed_name_without_members() -> Pair:
    tensors = {**fp8(f"{LAYER}.mlp.down_proj"), **attention(bf16), **HEAD}
    parts = [f"{LAYER}.self_attn.{part}_proj" for part in "qkvo"]
    packed = [f"{LAYER}.self_attn.qkv_proj", f"{LAYER}.self_attn.o_proj"]
    good = Draft(tensors, uniform("lm_head", *parts, algo="FP8"))
    return good, replace(good, quantization=uniform("lm_head", *packed, algo="FP8"))


def gap_beside_listed_siblings() -> Pair:
    tensors = {**attention(fp8), **bf16(f"{LAYER}.self_attn.g_proj"), **HEAD}
    layers = {f"{LAYER}.self_attn.{part}_proj": "FP8" for part in "qkvo"}
    good = Draft(tensors, mixed(layers, ignore=["lm_head", f"{LAYER}.self_attn.g_proj"]))
    del (less := dict(layers))[f"{LAYER}.self_attn.q_proj"]
    return good, replace(good, quantization=mixed(less, ignore=["lm_head"]))


def members_stored_differently() -> Pair:
    tensors = {**attention(fp8), **HEAD}
    layers = {f"{LAYER}.self_attn.{part}_proj": "FP8" for part in "qkvo"}
    good = Draft(tensors, mixed(layers, ignore=["lm_head"]))
    q = f"{LAYER}.self_attn.q_proj"
    other = {n: t for n, t in tensors.items() if not n.startswith(q)} | bf16(q)
    del (less := dict(layers))[q]
    return good, replace(good, tensors=other, quantization=mixed(less, ignore=["lm_head", q]))


def algo_of_no_release() -> Pair:
    tensors = {**fp8(f"{LAYER}.mlp.down_proj"), **HEAD}
    good = Draft(tensors, uniform("lm_head", algo="FP8"))
    name = f"{LAYER}.mlp.down_proj"
    int8: Shapes = {f"{name}.weight": ("I8", (32, 32)), f"{name}.weight_scale": ("F32", (32,))}
    wrong = replace(good, tensors={**int8, **HEAD}, quantization=uniform("lm_head", algo="W8A16"))
    return good, wrong


def mixed_without_a_map() -> Pair:
    good, _ = gap_beside_listed_siblings()
    return good, replace(
        good, quantization={"quant_algo": "MIXED_PRECISION", "ignore": ["lm_head"]}
    )


DRAFT_LAYER = {"num_hidden_layers": 1, "num_nextn_predict_layers": 1}


def draft_layer_not_covered() -> Pair:
    mtp = {**bf16("mtp.fc"), **bf16("mtp.layers.0.mlp.down_proj")}
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **HEAD, **mtp}
    good = Draft(tensors, uniform("lm_head", "mtp*"), config=DRAFT_LAYER)
    return good, replace(good, quantization=uniform("lm_head", "mtp.layers.0*"))


def draft_layer_absent() -> Pair:
    good, _ = draft_layer_not_covered()
    tensors = {n: t for n, t in good.tensors.items() if not n.startswith("mtp")}
    return good, replace(good, tensors=tensors, quantization=uniform("lm_head"))


def name_that_matches_nothing() -> Pair:
    good, _ = patterns_in_another_namespace()
    wrong = uniform("lm_head", f"model.layers.language_model.{LAYER}.self_attn*")
    return good, replace(good, quantization=wrong)


def trailing_dot() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **bf16(f"{LAYER}.mlp.gate"), **HEAD}
    good = Draft(tensors, uniform("lm_head", f"{LAYER}.mlp.gate"))
    return good, replace(good, quantization=uniform("lm_head", f"{LAYER}.mlp.gate."))


def corrupt_suffix() -> Pair:
    good, _ = trailing_dot()
    wrong = uniform("lm_head", f"{LAYER}.mlp.gate\0backbone.pt_name_sentinel")
    return good, replace(good, quantization=wrong)


def unquantized_not_covered() -> Pair:
    good, _ = trailing_dot()
    return good, replace(good, quantization=uniform("lm_head"))


def pattern_of_another_dialect() -> Pair:
    good, _ = trailing_dot()
    return good, replace(good, quantization=uniform("lm_head", r"re:.*mlp\.gate$"))


def abbreviated_pattern() -> Pair:
    names = [f"{LAYER}.self_attn.{part}_proj" for part in ("b", "q_b", "kv_b")]
    tensors = {**bf16(names[0]), **nvfp4(names[1]), **nvfp4(names[2]), **HEAD}
    good = Draft(tensors, uniform("lm_head", names[0]))
    return good, replace(good, quantization=uniform("lm_head", "b_proj"))


def wrapper_suffix() -> Pair:
    good, _ = trailing_dot()
    return good, replace(good, quantization=uniform("lm_head", f"{LAYER}.mlp.gate.linear"))


def quantized_head() -> Pair:
    tensors = {**nvfp4(f"{LAYER}.mlp.down_proj"), **nvfp4("lm_head")}
    good = Draft({**nvfp4(f"{LAYER}.mlp.down_proj"), **HEAD}, uniform("lm_head"))
    return good, replace(good, tensors=tensors, quantization=uniform())


def excluded_and_quantized() -> Pair:
    good, broken = quantized_head()
    return good, replace(broken, quantization=uniform("lm_head*"))


def listed_and_excluded() -> Pair:
    name = f"{LAYER}.mlp.down_proj"
    good = Draft({**nvfp4(name), **HEAD}, mixed({name: "NVFP4"}, ignore=["lm_head"]))
    return good, replace(good, quantization=mixed({name: "NVFP4"}, ignore=["lm_head", name]))


def algo_not_dispatched() -> Pair:
    name, other = f"{LAYER}.mlp.down_proj", f"{LAYER}.self_attn.o_proj"
    good = Draft(
        {**nvfp4(name), **fp8(other), **HEAD},
        mixed({name: "NVFP4", other: "FP8"}, ignore=["lm_head"]),
    )
    stored: Shapes = {
        f"{other}.weight": ("F8_E4M3", (32, 32)),
        f"{other}.weight_scale": ("F32", (32,)),
    }
    wrong = mixed({name: "NVFP4", other: "FP8_PER_CHANNEL_PER_TOKEN"}, ignore=["lm_head"])
    return good, replace(good, tensors={**nvfp4(name), **stored, **HEAD}, quantization=wrong)


PAIRS: dict[str, Callable[[], Pair]] = {
    made.__name__: made
    for made in (
        entries_in_another_namespace,
        patterns_in_another_namespace,
        namespace_of_a_release,
        one_member_not_listed,
        packed_name_without_members,
        gap_beside_listed_siblings,
        members_stored_differently,
        algo_of_no_release,
        mixed_without_a_map,
        draft_layer_not_covered,
        draft_layer_absent,
        name_that_matches_nothing,
        trailing_dot,
        corrupt_suffix,
        unquantized_not_covered,
        pattern_of_another_dialect,
        abbreviated_pattern,
        wrapper_suffix,
        quantized_head,
        excluded_and_quantized,
        listed_and_excluded,
        width_that_no_kernel_takes,
        experts_excluded_one_by_one,
        expert_behind_projection,
        expert_without_input_scale,
        no_input_scale,
        half_a_scale,
        block_scale_under_another_name,
        kv_setting_in_one_file,
        lists_disagree,
        kv_scales_of_projections,
        kv_scales_unsaid,
        algo_not_dispatched,
        index_of_other_files,
    )
}
