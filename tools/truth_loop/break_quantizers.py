"""Ways to break the metadata of other quantizers than ModelOpt: names, prefixes, patterns, values.

Each takes the object of config.json that names the quant_method, whatever its keys are: a list of
strings is a list of names, an object whose keys have dots has names as keys.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from truth_loop.draft import Draft, Mutator

_SECTIONS: Final = ("quantization_config", "compression_config")
_LISTS: Final = (
    "ignore", "targets", "modules_to_not_convert", "ignored_layers", "exclude",
    "llm_int8_skip_modules", "block_name_to_quantize", "modules_in_block_to_quantize",
)  # fmt: skip
_KEYED: Final = ("extra_config", "layer_quant_config", "dynamic")
_SPELLINGS: Final = (
    ("model.", ""),
    ("", "model."),
    ("", "language_model."),
    ("model.language_model.", "language_model.model."),
    ("model.language_model.", "model."),
    ("model.", "model.language_model."),
    ("model.visual.", "visual."),
    ("language_model.model.", "model."),
)
_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "bits": (2, 4, 8, 16),
    "num_bits": (4, 8),
    "group_size": (-1, 16, 32, 64, 128, None),
    "sym": (True, False),
    "symmetric": (True, False),
    "zero_point": (True, False),
    "desc_act": (True, False),
    "lm_head": (True, False),
    "actorder": (None, "static", "group"),
    "strategy": ("tensor", "channel", "group", "token", "block"),
    "dynamic": (True, False),
    "type": ("int", "float"),
    "data_type": ("int", "float", "mx_fp"),
    "packing_format": ("auto_round:auto_gptq", "auto_round:auto_awq"),
    "format": ("pack-quantized", "float-quantized", "int-quantized", "mixed-precision", None),
    "activation_scheme": ("static", "dynamic"),
    "weight_block_size": (None, [64, 64], [32, 32], [128, 128]),
    "dtype": ("fp8_e4m3", "int8", "fp4"),
    "qscheme": ("per_tensor", "per_channel", "per_group"),
    "is_dynamic": (True, False),
    "quant_method": ("gptq", "awq", "fp8", "compressed-tensors", "auto-round", "quark"),
}


def section(draft: Draft) -> dict[str, Any] | None:
    """The object that names the quant_method."""
    for holder in (draft.config, draft.text):
        for key in _SECTIONS:
            if isinstance(holder.get(key), dict):
                found: dict[str, Any] = holder[key]
                return found
    return None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """An object and every one in it."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _lists(draft: Draft) -> list[tuple[dict[str, Any], str]]:
    """Every list of names: the object that has it, and its key."""
    found = [(o, key) for o in _objects(section(draft)) for key in _LISTS]
    return [(o, key) for o, key in found if isinstance(o.get(key), list)]


def _keyed(draft: Draft) -> list[tuple[dict[str, Any], str]]:
    found = [(o, key) for o in _objects(section(draft)) for key in _KEYED]
    return [(o, key) for o, key in found if isinstance(o.get(key), dict)]


def _is_flat(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def respell(draft: Draft) -> str | None:
    """All names of a list or an object with another beginning."""
    places = [*_lists(draft), *_keyed(draft)]
    if not places:
        return None
    holder, key = draft.random.choice(places)
    old, new = draft.random.choice(_SPELLINGS)

    def changed(name: str) -> str:
        mark = next((m for m in ("re:", "+:", "-:") if name.startswith(m)), "")
        rest = name.removeprefix(mark)
        return mark + new + rest.removeprefix(old) if rest.startswith(old) and "." in rest else name

    names = holder[key]
    if _is_flat(names):
        holder[key] = [changed(name) for name in names]
    elif isinstance(names, dict):
        holder[key] = {changed(name): value for name, value in names.items()}
    return f"{key}: {old!r} -> {new!r}" if holder[key] != names else None


def drop_name(draft: Draft) -> str | None:
    """One name less."""
    places = [(o, k) for o, k in (*_lists(draft), *_keyed(draft)) if o[k]]
    if not places:
        return None
    holder, key = draft.random.choice(places)
    gone = draft.random.choice(list(holder[key]))
    if isinstance(holder[key], dict):
        holder[key] = {name: value for name, value in holder[key].items() if name != gone}
    else:
        holder[key] = [name for name in holder[key] if name != gone]
    return f"{key} without {gone}"


def add_name(draft: Draft) -> str | None:
    """A module, what contains it, a part of names, or an expression more."""
    places = [(o, k) for o, k in _lists(draft) if _is_flat(o[k])]
    if not places:
        return None
    holder, key = draft.random.choice(places)
    new = _some_name(draft)
    holder[key] = [*holder[key], new]
    return f"{key} with {new}"


def add_entry(draft: Draft) -> str | None:
    """A key more in an object that has names as keys."""
    places = _keyed(draft)
    if not places:
        return None
    holder, key = draft.random.choice(places)
    entries = holder[key]
    new = _some_name(draft).removeprefix("re:")
    if key == "dynamic":
        new = draft.random.choice(("-:", "+:")) + new
    bits: dict[str, Any] = {"bits": draft.random.choice((4, 8, 16))}
    value = draft.random.choice([*entries.values(), bits] if key != "layer_quant_config" else
                                [*entries.values(), _quark_scheme(draft)])  # fmt: skip
    holder[key] = draft.random.choice(({new: value, **entries}, {**entries, new: value}))
    return f"{key} with {new}"


def _quark_scheme(draft: Draft) -> object:
    return (section(draft) or {}).get("global_quant_config")


def _some_name(draft: Draft) -> str:
    module = draft.random.choice(draft.modules)
    parent = module.rpartition(".")[0] or module
    last = module.rpartition(".")[2]
    escaped = module.replace(".", r"\.")
    return draft.random.choice(
        [module, module, parent, last, f"{parent}.", f"re:.*{last}", f"re:{escaped}$",
         f"re:^{escaped}", "re:.*up_proj", "re:.*layers.1.*", "model.layers.1", "Linear",
         f"re:.*{escaped.replace(chr(92), chr(92) * 2)}.*", "re:.*gate_up_proj", "lm_head"]
    )  # fmt: skip


def anchor(draft: Draft) -> str | None:
    """An expression with another beginning or end."""
    places = [
        (o, k, name)
        for o, k in (*_lists(draft), *_keyed(draft))
        for name in o[k]
        if isinstance(name, str) and "*" in name
    ]
    if not places:
        return None
    holder, key, old = draft.random.choice(places)
    new = draft.random.choice(
        (old.replace(".*", "", 1), old.replace(".*", "^model.", 1), f"{old}$", f"{old}.*",
         old.replace("\\", "\\\\"), old.replace("\\", ""), old.removeprefix("re:"))
    )  # fmt: skip
    names = holder[key]
    if isinstance(names, dict):
        holder[key] = {new if name == old else name: value for name, value in names.items()}
    else:
        holder[key] = [new if name == old else name for name in names]
    return f"{key}: {old} -> {new}" if new != old else None


def value(draft: Draft) -> str | None:
    """A number, a type or a switch with a different value."""
    places = [(o, key) for o in _objects(section(draft)) for key in _VALUES if key in o]
    if not places:
        return None
    holder, key = draft.random.choice(places)
    old, new = holder[key], draft.random.choice(_VALUES[key])
    holder[key] = new
    return f"{key}: {json.dumps(old)[:40]} -> {json.dumps(new)}" if old != new else None


def targets(draft: Draft) -> str | None:
    """The targets of a group of compressed-tensors, changed."""
    groups = (section(draft) or {}).get("config_groups")
    if not isinstance(groups, dict) or not groups:
        return None
    name = draft.random.choice(sorted(groups))
    quantized = [n.removesuffix(".weight_scale") for n in draft.names if n.endswith("weight_scale")]
    new = draft.random.choice(
        [["Linear"], ["re:.*proj"], ["re:.*proj$"], sorted(quantized), ["re:.*self_attn.*"],
         ["RoutedExperts", "Linear"], ["FusedMoE"], ["re:^model.*"], ["Attention"], []]
    )  # fmt: skip
    groups[name]["targets"] = new
    return f"{name} for {str(new)[:60]}"


def second_file(draft: Draft) -> str | None:
    """A file of the quantizer with different content, or the same in another place."""
    own = section(draft)
    if own is None:
        return None
    file = draft.random.choice(
        ("quantization_config.json", "quantize_config.json", "quant_config.json")
    )
    how = draft.random.choice(("a copy in", "other bits in", "moved to"))
    draft.files[file] = json.dumps({**own, "bits": 3} if how == "other bits in" else own)
    if how == "moved to":
        for holder in (draft.config, draft.text):
            for key in _SECTIONS:
                if holder.get(key) is own:
                    del holder[key]
    return f"{how} {file}"


MUTATORS: Final[tuple[Mutator, ...]] = (
    *(respell, respell, respell, drop_name, drop_name, add_name, add_name, add_name),
    *(add_entry, add_entry, add_entry, anchor, anchor, value, value, targets, second_file),
)
