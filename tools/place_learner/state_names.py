"""Names that a checkpoint has: the library's, as it stores them, or made from the runtime's own."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from place_learner.variants import Config
from runtime_probe.built import Built
from runtime_probe.meta_mode import mode
from runtime_probe.trace import Tensors

_USUAL_PACKS: Final = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "fused_qkv_a_proj": ("q_a_proj", "kv_a_proj_with_mqa"),
    "fused_qkv_a_proj_with_mqa": ("q_a_proj", "kv_a_proj_with_mqa"),
    "wk_weights_proj": ("wk", "weights_proj"),
    "w13": ("w1", "w3"),
}
_EXPERT: Final = re.compile(
    r"^(?P<bank>.*experts)(\.\w+)*?\.(?P<part>w13|w2)_(?P<leaf>weight|bias)$"
)
_EXPERT_NAMES: Final = {"w13": ("gate_proj", "up_proj", "w1", "w3"), "w2": ("down_proj", "w2")}
Saved = Mapping[str, tuple[str, ...]]
"""Part of a parameter's name -> what is stored instead, the rows in equal parts."""
_OF_TOWERS: Final[Saved] = {".self_attn.proj.": (".self_attn.out_proj.",)}
_SAVED: Final[Mapping[str, Saved]] = {
    "HunYuanMoEV1ForCausalLM": {".mlp.gate.": (".mlp.gate.wg.",)},
    "InternVLChatModel": {
        ".attn.attn.qkv_proj.": (".attn.qkv.",),
        ".attn.attn.proj.": (".attn.proj.",),
    },
    "KimiVLForConditionalGeneration": {
        ".attn.qkv_proj.": (".wqkv.",),
        ".attn.proj.": (".wo.",),
    },
    "Qwen2_5OmniModel": {".attn.qkv.": (".attn.q.", ".attn.k.", ".attn.v.")},
}
"""Architectures of which published checkpoints have such names, and loaders know others as well;
`_OF_TOWERS` for all others."""
_MOST: Final = 0.5
_NOT_OF_THE_CLASS: Final = ("model_type", "architectures", "quantization_config", "auto_map")


def of_library(model_class: Any, config: Config) -> dict[str, Tensors]:
    """`saved`: as today's save_pretrained writes; `legacy`: as it did before version 5.

    Tied tensors are left out of these, and are `tied`: most checkpoints do not have them.
    """
    import torch

    given = {k: v for k, v in copy.deepcopy(config).items() if k not in _NOT_OF_THE_CLASS}
    made = model_class.config_class.from_dict(given)
    with mode():
        from_config = getattr(model_class, "_from_config", model_class)
        model = from_config(made)
    state = {
        name: torch.empty(t.shape, dtype=t.dtype, device="meta")
        for name, t in model.state_dict().items()
    }
    tied = _tied(model, made)
    out = {"saved": dict(state)}
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:
        pass
    else:
        out["saved"] = revert_weight_conversion(model, dict(state))
        try:
            model._weight_conversions = get_model_conversion_mapping(model, add_legacy=True)
            legacy = revert_weight_conversion(model, dict(state))
        except Exception:  # a family without an older layout
            legacy = {}
        if legacy and set(legacy) != set(out["saved"]):
            out["legacy"] = legacy
    kept = {kind: {k: v for k, v in t.items() if k not in tied} for kind, t in out.items()}
    if tied:
        kept["tied"] = {k: v for k, v in out["saved"].items() if k in tied}
    return kept


def _tied(model: Any, config: Any) -> set[str]:
    try:
        text = config.get_text_config()
        ties = [getattr(c, "tie_word_embeddings", False) for c in (text, config)]
        return set(model._tied_weights_keys or {}) if any(ties) else set()
    except Exception:  # a config without a language model
        return set()


def of_runtime(built: Built, saved: Saved | None = None, *, most: int | None = None) -> Tensors:
    """Made from the runtime's own parameters, see `of_parameter`; its mapper undone.

    Args:
        built: the model.
        saved: see `_SAVED`; these parameters are not taken apart.
        most: of the names that the mapper turns into the same one, its first ones.
    """
    return {
        stored: tensor
        for name, parameter in built.model.named_parameters()
        for own, tensor in _of_parameter(built, name, parameter, saved or {}).items()
        for stored in before(built.mapper, own)[:most]
    }


def _of_parameter(built: Built, name: str, parameter: Any, saved: Saved) -> Tensors:
    for own, parts in saved.items():
        if own in name:
            rows, *rest = parameter.shape
            shape = [rows // len(parts), *rest]
            return _empty({name.replace(own, part): shape for part in parts}, parameter.dtype)
    return of_parameter(built, name, parameter)


def of_parameter(built: Built, name: str, parameter: Any) -> Tensors:
    """The tensors that fill one parameter: a fused module is taken apart.

    Both usual spellings of an expert's projections are offered; the one that the loader does not
    know goes unused.
    """
    owner, _, leaf = name.rpartition(".")
    outer, _, last = owner.rpartition(".")
    module = built.model.get_submodule(owner)
    shape = list(parameter.shape)
    expert = _EXPERT.match(name)
    if expert and len(shape) >= 2:
        bank = re.sub(r"\.routed_experts$", "", owner)
        _, rows, *rest = shape
        rows = rows // 2 if expert["part"] == "w13" else rows
        parts = _EXPERT_NAMES[expert["part"]]
        shapes = {f"{bank}.0.{part}.{expert['leaf']}": [rows, *rest] for part in parts}
        return _empty(shapes, parameter.dtype)
    sizes = _sizes(module, last) or _sizes_beside(built.model.get_submodule(outer), last, shape)
    members = {**_USUAL_PACKS, **built.packed}.get(last, ())
    if len(members) > 1 and sizes and len(sizes) == len(members):
        names = [f"{outer}.{member}.{leaf}".lstrip(".") for member in members]
        shapes = {n: [size, *shape[1:]] for n, size in zip(names, sizes, strict=True)}
        return _empty(shapes, parameter.dtype)
    vocabulary = getattr(module, "org_vocab_size", None)
    if vocabulary and shape:  # the parameter has padding that is not stored
        shape[0] = vocabulary
    return _empty({name: shape}, parameter.dtype)


def _empty(shapes: Mapping[str, list[int]], dtype: Any) -> Tensors:
    import torch

    return {name: torch.empty(s, dtype=dtype, device="meta") for name, s in shapes.items()}


def variants(architecture: str, built: Built, layers: int) -> Iterator[tuple[Tensors, float]]:
    """The tensors of a model under other usual spellings; the share of them that has to load.

    The runtime's own come first, but for what some loaders take under a name of the library's.

    Drafts are stored differently from how they are built: their loaders put "model." before every
    name, or turn "mtp." into it, put the block's own name inside, or take the draft from the layer
    after the last of the target's `layers`. Classes for Mistral's own format have a table of its
    names.
    """
    tensors, own_names = of_runtime(built), _own_names(built.model)
    after_last = f"model.layers.{layers}."
    renames = (
        lambda name: name.removeprefix("model."),
        lambda name: "mtp." + name.removeprefix("model."),
        lambda name: name.replace(".mtp_block.", "."),
        lambda name: after_last + name.removeprefix("model.").removeprefix("decoder."),
        lambda name: _respelled(name, own_names),
    )
    seen: list[set[str]] = [set(tensors)]
    for parts in (_SAVED.get(architecture, _OF_TOWERS), {}):
        saved = of_runtime(built, parts, most=1)
        if saved.keys() != tensors.keys():
            yield saved, 1
    yield tensors, _MOST
    for rename in renames:
        renamed = {rename(name): tensor for name, tensor in tensors.items()}
        if set(renamed) not in seen:
            seen.append(set(renamed))
            yield renamed, _MOST


def _own_names(model: Any) -> list[tuple[re.Pattern[str], str]]:
    """(its name, how it is stored), from the table of expressions that a class or an inner one has.

    vllm 0.33.0 and sglang 0.5.23, `remapping` in mistral_large_3.py, which maps the other way.
    """
    out = []
    for place, module in model.named_modules():
        for stored, own in (getattr(type(module), "remapping", None) or {}).items():
            start = re.escape(f"{place}." if place else "")
            pattern = re.sub(r"\\\\(\d)", r"(?P<of_\1>\\w+)", re.escape(own))
            between = re.split(r"\([^)]*\)", stored.replace(r"\.", "."))
            filled = (f"\\g<of_{number}>{text}" for number, text in enumerate(between[1:], 1))
            out.append((re.compile(start + pattern), between[0] + "".join(filled)))
    return out


def _respelled(name: str, own_names: list[tuple[re.Pattern[str], str]]) -> str:
    found = ((pattern.fullmatch(name), template) for pattern, template in own_names)
    return next((match.expand(template) for match, template in found if match), name)


def _sizes(module: Any, last: str) -> Any:
    if last == "qkv_proj" and hasattr(module, "total_num_heads"):
        kv, size = module.total_num_kv_heads, module.head_size
        value_size = getattr(module, "v_head_size", size)
        return [module.total_num_heads * size, kv * size, kv * value_size]
    return getattr(module, "output_sizes", None)


def _sizes_beside(parent: Any, last: str, shape: list[int]) -> list[int] | None:
    """Rows of the members of a layer that does not know them, by the norm after the first."""
    norm = {"fused_qkv_a_proj_with_mqa": "q_a_layernorm", "wk_weights_proj": "k_norm"}.get(last)
    weight = getattr(getattr(parent, norm or "", None), "weight", None)
    if weight is None:
        return None
    first = weight.shape[0]
    return [first, shape[0] - first]


def before(mapper: Any, name: str) -> list[str]:
    """Stored names that the runtime's mapper turns into `name`.

    `name` itself where it leaves that alone.
    """
    forward = getattr(mapper, "_map_name", None)
    if forward is None:
        return [name]
    tries = [name]
    for old, new in _rules(mapper, "orig_to_new_prefix").items():
        if isinstance(new, str) and name.startswith(new):
            tries.append(str(old) + name[len(new) :])
    for old, new in _rules(mapper, "orig_to_new_substr").items():
        if isinstance(new, str) and new:
            tries += [t.replace(new, str(old)) for t in tries if new in t]
    tries = [*tries[1:], name]
    out = []
    for stored in dict.fromkeys(tries):
        try:
            if forward(stored) == name:
                out.append(stored)
        except Exception:  # a rule that takes names of another form
            continue
    return out or [name]


def _rules(mapper: Any, kind: str) -> Mapping[Any, Any]:
    return getattr(mapper, kind, None) or {}
