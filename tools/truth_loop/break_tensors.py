"""Ways to break the tensors of a checkpoint: missing, renamed, cut, or too many."""

import re
from typing import Final

from truth_loop.draft import Draft


def drop_module(draft: Draft) -> str | None:
    """All tensors of one module."""
    module = draft.random.choice(draft.modules)
    draft.drop(lambda name: name.rpartition(".")[0] != module)
    return module


def drop_norm(draft: Draft) -> str | None:
    """One module that holds vectors only."""
    vectors = sorted(n for n, (t, _) in draft.names.items() if len(t[1]) == 1 and "norm" in n)
    if not vectors:
        return None
    lost = draft.random.choice(vectors)
    draft.drop(lambda name: name != lost)
    return lost


def drop_tensor(draft: Draft) -> str | None:
    """One tensor."""
    lost = draft.random.choice(sorted(draft.names))
    draft.drop(lambda name: name != lost)
    return lost


def drop_kind(draft: Draft) -> str | None:
    """One module in every layer."""
    kinds = sorted({re.sub(r"\d+", "#", module) for module in draft.modules if "layers." in module})
    if not kinds:
        return None
    kind = draft.random.choice(kinds)
    draft.drop(lambda name: re.sub(r"\d+", "#", name.rpartition(".")[0]) != kind)
    return kind


def drop_layer(draft: Draft) -> str | None:
    """A whole layer."""
    found = sorted({f[0] for n in draft.names if (f := re.match(r".*?layers\.\d+\.", n))})
    if not found:
        return None
    lost = draft.random.choice(found)
    draft.drop(lambda name: not name.startswith(lost))
    return lost


def drop_expert(draft: Draft) -> str | None:
    """An expert in one layer or in all."""
    found = sorted({f[0] for n in draft.names if (f := re.match(r".*\.experts\.\d+\.", n))})
    if not found:
        return None
    lost = draft.random.choice(found)
    tail = lost[lost.index(".experts.") :]
    everywhere = draft.random.random() < 0.5
    draft.drop(lambda n: tail not in n if everywhere else not n.startswith(lost))
    return f"{lost} everywhere={everywhere}"


PREFIXES: Final = (
    ("model.", ""),
    ("model.", "model.model."),
    ("model.", "base_model.model.model."),
    ("model.", "language_model.model."),
    ("model.", "model.language_model."),
    ("model.language_model.", "language_model.model."),
    ("model.language_model.", "model."),
    ("language_model.model.", "model.language_model."),
    ("model.visual.", "visual."),
    ("visual.", "model.visual."),
    ("backbone.", "model."),
    ("model.", "backbone."),
    ("language_model.backbone.", "backbone."),
    ("language_model.backbone.", "language_model.model."),
    ("lm_head.", "model.lm_head."),
    ("lm_head.", "language_model.lm_head."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_model.", "model.vision_model."),
    ("mlp1.", "model.mlp1."),
    ("", "module."),
    ("", "_orig_mod."),
)


def prefix(draft: Draft) -> str | None:
    """Tensors under another prefix."""
    fits = [p for p in PREFIXES if any(name.startswith(p[0]) for name in draft.names)]
    old, new = draft.random.choice(fits)
    draft.rename(lambda n: new + n[len(old) :] if n.startswith(old) else n)
    return f"{old} -> {new}"


PARTS: Final = (
    (".mlp.", ".feed_forward."),
    (".mlp.experts.", ".block_sparse_moe.experts."),
    (".mlp.gate.", ".mlp.router."),
    (".gate_proj.", ".w1."),
    (".down_proj.", ".w2."),
    (".up_proj.", ".w3."),
    (".self_attn.", ".attention."),
    (".o_proj.", ".out_proj."),
    (".input_layernorm.", ".norm1."),
    (".post_attention_layernorm.", ".ffn_norm."),
    (".mixer.", ".self_attn."),
    (".norm.", ".input_layernorm."),
    (".weight_scale", ".weight_scale_inv"),
    (".weight_scale_2", ".weight_global_scale"),
    (".input_scale", ".act_scale"),
    (".q_proj.", ".q_proj.linear."),
    (".shared_experts.", ".shared_expert."),
    (".A_log", ".A"),
    (".dt_bias", ".dt_proj.bias"),
    (".e_score_correction_bias", ".correction_bias"),
    ("embed_tokens.", "word_embeddings."),
    ("embeddings.", "embed_tokens."),
    ("norm_f.", "norm."),
)


def part(draft: Draft) -> str | None:
    """Tensors under the names of another model or release, in one place or everywhere."""
    fits = [p for p in PARTS if any(p[0] in name for name in draft.names)]
    if not fits:
        return None
    old, new = draft.random.choice(fits)
    one = draft.random.choice(sorted(n for n in draft.names if old in n))
    everywhere = draft.random.random() < 0.6
    draft.rename(lambda n: n.replace(old, new) if everywhere or n == one else n)
    return f"{old} -> {new} everywhere={everywhere}"


def stray(draft: Draft) -> str | None:
    """Tensors that most classes have no place for."""
    module = draft.random.choice(draft.modules)
    layer = next((f[0] for n in draft.names if (f := re.match(r".*?layers\.\d+\.", n))), "")
    name, dtype, shape = draft.random.choice(
        [
            (f"{module}.output_scale", "F32", ()),
            (f"{module}.weight_quantizer._amax", "F32", ()),
            (f"{module}.input_quantizer._amax", "F32", (1,)),
            (f"{module}.bias", "BF16", (64,)),
            (f"{module}.weight_scale", "F32", ()),
            (f"{module}.input_scale", "F32", ()),
            (f"{module}.weight_shape", "I64", (2,)),
            (f"{module}.g_idx", "I32", (64,)),
            (f"{module}.k_scale", "F32", ()),
            (f"{module}.pre_quant_scale", "BF16", (64,)),
            (f"{layer}extra.weight", "BF16", (8, 8)),
            (f"{layer}extra_norm.weight", "BF16", (64,)),
            ("extra.weight", "BF16", (8, 8)),
            ("lm_head.bias", "BF16", (128,)),
            ("mtp.layers.0.eh_proj.weight", "BF16", (8, 8)),
            ("score.weight", "BF16", (2, 64)),
            ("model.layers.7.mlp.up_proj.weight", "BF16", (8, 64)),
            ("v_head.summary.weight", "BF16", (1, 64)),
        ]
    )
    if name in draft.names:
        return None
    draft.add(name, dtype, *shape)
    return f"{name} {dtype} {shape}"


def copy_layer(draft: Draft) -> str | None:
    """One layer more than announced, as a copy of one."""
    found = sorted(
        {(f[1], int(f[2])) for n in draft.names if (f := re.match(r"(.*?layers\.)(\d+)\.", n))}
    )
    if not found:
        return None
    head, number = draft.random.choice(found)
    new = max(n for h, n in found if h == head) + 1
    for name, (tensor, origin) in list(draft.names.items()):
        if name.startswith(f"{head}{number}."):
            draft.names[f"{head}{new}." + name[len(f"{head}{number}.") :]] = tensor, origin
    return f"{head}{number} -> {new}"


DTYPES: Final = {
    "BF16": ("F8_E4M3", "U8"),
    "F8_E4M3": ("F8_E5M2", "BF16", "U8", "I8"),
    "U8": ("I8", "F8_E4M3"),
    "I8": ("U8", "F8_E4M3"),
    "F32": ("F64", "BF16", "F8_E4M3", "I8"),
}
"""Scales, which are F32, too; not unquantized ones among each other: a runtime casts those and
loads, which the judge calls failing."""


def dtype(draft: Draft) -> str | None:
    """A tensor, or all like it, in another dtype."""
    name = draft.random.choice(sorted(draft.names))
    old = draft.names[name][0][0]
    if old not in DTYPES:
        return None
    new = draft.random.choice(DTYPES[old])
    tail = name.rpartition(".")[2]
    everywhere = draft.random.random() < 0.5
    for other, (tensor, origin) in draft.names.items():
        if other == name or (everywhere and other.endswith(tail) and tensor[0] == old):
            draft.names[other] = (new, tensor[1]), origin
    return f"{name} {old} -> {new} everywhere={everywhere}"


def shape(draft: Draft) -> str | None:
    """A tensor in another shape."""
    name = draft.random.choice(sorted(draft.names))
    (kind, old), origin = draft.names[name]
    if not old:
        new: tuple[int, ...] = draft.random.choice([(1,), (2,), (1, 1)])
    else:
        axis = draft.random.randrange(len(old))
        change = draft.random.choice(["half", "double", "one", "flat", "extra"])
        size = {"half": old[axis] // 2, "double": old[axis] * 2, "one": old[axis] + 1}.get(
            change, 0
        )
        changed = (*old[:axis], size, *old[axis + 1 :])
        new = {"flat": (old[0],), "extra": (*old, 1)}.get(change, changed)
    if new == old:
        return None
    draft.names[name] = (kind, new), origin
    return f"{name} {old} -> {new}"
