"""One config shows one branch of a class: smaller ones, and others with one value changed."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

Config = dict[str, Any]
"""config.json, or a part of it."""
LAYERS: Final = 4
"""Of a shrunk config."""
LAYER_COUNT: Final = re.compile(
    r"(^|_)(num_hidden_layers|num_layers|n_layers?|n_layer|depth|num_encoder_layers"
    r"|num_decoder_layers|encoder_layers|decoder_layers|layers|num_blocks|num_hidden_blocks"
    r"|text_num_hidden_layers)$"
)
_EXPERT_COUNT: Final = re.compile(
    r"(num_experts|n_routed_experts|num_local_experts|moe_num_experts|num_routed_experts)$"
)
_EXPERTS: Final = 8
_FLIPPED: Final = re.compile(
    r"bias|qk_norm|tie_word|shared|moe_block|use_moe|latent|k_eq_v|post_norm|gate|pre_norm"
)
_NEVER_FLIPPED: Final = re.compile(
    r"rotary|fused|fuse_|kernel|cache|normalize|norm_topk|checkpoint"
)
OTHERS: Final = {"version": (2.5, 2.6, 4.0, 4.5)}
"""Key -> values for which a class builds other language models: SGLang's MiniCPM-V."""
_NONE_OF_THEM: Final = re.compile(r"(?:^|_)(?:num|n)_shared_experts?$")
"""Numbers of parts of a layer that may be zero."""
_LANGUAGE: Final = ("", "text_config", "llm_config", "thinker_config", "language_config")


def shrink(config: Config, layers: int = LAYERS) -> Config:
    """The config with few layers and few experts.

    Lists as long as the layers are cut, with one of each kind kept.
    """
    counts = {k: v for k, v in config.items() if _int(v) and LAYER_COUNT.search(k) and v > layers}
    lengths = set(counts.values())
    out = {}
    for key, given in config.items():
        value = given
        if isinstance(value, dict) and value and all(str(k).isdigit() for k in value):
            value = {k: v for k, v in value.items() if int(k) < layers}
        elif isinstance(value, dict):
            value = shrink(value, layers)
        elif key in counts:
            value = layers
        elif isinstance(value, list) and len(value) in lengths:
            value = _cut(value, layers)
        elif isinstance(value, str) and len(value) in lengths and key.endswith("pattern"):
            value = ("".join(dict.fromkeys(value)) + value)[:layers]
        elif _int(value) and _EXPERT_COUNT.search(key) and value > _EXPERTS:
            chosen = [v for k, v in config.items() if "per_tok" in k and _int(v)]
            value = max(_EXPERTS, *chosen, 0)
        out[key] = value
    _agree(out)
    return out


def _agree(config: Config) -> None:
    """The library and the runtimes read different keys for what kind a layer is."""
    dense, kinds = config.get("first_k_dense_replace"), config.get("mlp_layer_types")
    number = config.get("num_hidden_layers")
    if _int(dense) and _int(number) and dense >= number:
        dense = config["first_k_dense_replace"] = 1
    if _int(dense) and isinstance(kinds, list):
        config["mlp_layer_types"] = ["dense" if i < dense else "sparse" for i in range(len(kinds))]
    every, kinds = config.get("full_attention_interval"), config.get("layer_types")
    if _int(every) and every and isinstance(kinds, list):
        other = next((kind for kind in kinds if kind != "full_attention"), "linear_attention")
        full = [(i + 1) % every == 0 for i in range(len(kinds))]
        config["layer_types"] = ["full_attention" if yes else other for yes in full]


def _cut(values: list[Any], length: int) -> list[Any]:
    kinds: list[Any] = []
    for value in values:
        if value not in kinds:
            kinds.append(value)
    seen = [kind for kind in kinds if kind in values[:length]]
    return values[:length] if seen == kinds else (kinds + values)[:length]


def _int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def changed(config: Config) -> Iterator[tuple[str, Config]]:
    """``(path, config)`` with one value changed, the likeliest first.

    Flags that say what a layer is made of are turned round; of the language model, a low rank is
    taken away or put there, experts, shared ones and the router's bias are taken away, and the
    first layer is made dense where a list names those.
    """
    found: list[tuple[int, str, Any]] = []
    for part, values in _parts(config, ""):
        is_language = part in _LANGUAGE
        for key, value in values.items():
            name = f"{part}.{key}".lstrip(".")
            if isinstance(value, bool) and _FLIPPED.search(key) and not _NEVER_FLIPPED.search(key):
                first = key == "tie_word_embeddings" and is_language
                found.append((0 if first else 2 if is_language else 3, name, not value))
            if is_language:
                found += [(1, name, other) for other in _others(key, value)]
    for _, name, value in sorted(found, key=lambda row: row[0]):
        yield name, with_values(config, {tuple(name.split(".")): value})


def _parts(config: Config, path: str) -> Iterator[tuple[str, Config]]:
    yield path, config
    for key, part in config.items():
        if isinstance(part, dict):
            yield from _parts(part, f"{path}.{key}".lstrip("."))


def _others(key: str, value: Any) -> Iterator[Any]:
    """Values for which a class builds other parts."""
    if key == "mlp_only_layers" and value == []:
        yield [0]
    elif key == "q_lora_rank" and (value is None or _int(value)):
        yield 512 if value is None else None
    elif key == "n_routed_experts" and _int(value):
        yield None
    elif key == "topk_method" and value == "noaux_tc":
        yield "greedy"
    elif _NONE_OF_THEM.search(key) and _int(value) and value:
        yield 0
    elif key in OTHERS:
        yield from (other for other in OTHERS[key] if other != value)


def with_values(config: Config, changes: Mapping[tuple[str, ...], Any]) -> Config:
    """A copy with other values.

    Args:
        config: it stays as it is.
        changes: path -> value; what is around a value is there.
    """
    out = copy.deepcopy(config)
    for (*within, key), value in changes.items():
        holder = out
        for part in within:
            holder = holder[part]
        holder[key] = value
    return out


def value_of(config: Config, name: str) -> Any:
    """The value at a path joined by dots; None where there is none."""
    *within, key = name.split(".")
    values: Any = config
    for part in within:
        values = values.get(part, {})
    return values.get(key)
