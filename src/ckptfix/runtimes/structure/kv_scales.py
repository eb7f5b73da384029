"""Scales and biases of a KV cache for which a release has no parameter, or another one."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from math import prod
from typing import Final

from ckptfix.checkpoint.roles import KV_BIASES, KV_SCALES
from ckptfix.runtimes.cache_scales import has_cache_scales
from ckptfix.runtimes.learned.parameters import modules_of
from ckptfix.runtimes.learned.table import mask
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.parameters import OF_QUERIES
from ckptfix.runtimes.structure.several import about, each_effect, stop_at
from ckptfix.runtimes.structure.tree import Tree

_ATTENTION: Final = "self_attn"
_CROSS: Final = ".encoder_attn."
"""Attention of a decoder to an encoder."""
OF_PROBABILITIES: Final = "prob_output_scale"
"""What Quark stores next to attention for its probabilities, as FP8 of other quantizers does.
SGLang has no parameter for it (sglang 0.5.23, model_loader/weight_utils.py
`maybe_remap_kv_scale_name`)."""
_MADE: Final = ("attn", "qkv_proj")
"""Modules of attention that a release builds from others, next to which it looks for scales too."""
_OF_KEYS: Final = ("k_proj", "qkv_proj", "qkv", "query_key_value", "kv_proj")
_NAMES: Final = ("attn", "attention", "mixer")
"""Parts of names of attention whose layers have other names."""


def kv_scale_reasons(tree: Tree) -> Iterator[Reason]:
    """Why a release does not load the scales and biases of a KV cache that are stored."""
    if OF_PROBABILITIES in tree.takes:
        yield from _of_probabilities(tree)
    if not has_cache_scales(tree.checkpoint):
        yield from _of_quantized_attention(tree)
        return
    yield from _kv_scales(tree)
    yield from _kv_scales_of_towers(tree)
    yield from _kv_scales_of_many(tree)
    yield from _of_quantized_attention(tree)
    yield from _biases(tree)
    yield from _elsewhere(tree)


def _kv_scales(tree: Tree) -> Iterator[Reason]:
    """Scales of a KV cache at which a release stops, whether or not it quantizes the cache.

    If it takes quantized weights for unquantized ones, it already stops at their scales.
    """
    stops, without = tree.expected.stops_at_kv_scales, ""
    if not tree.has_config and tree.expected.kv_scales_need_config:
        formats = tree.checkpoint.formats.values()
        stops = stops or not any(stored.is_quantized for stored in formats)
        without = "without a quantization config "
    if not stops:
        return
    modules = tree.checkpoint.modules.values()
    names = [m.tensor_names[role] for m in modules for role in m.tensors if role in KV_SCALES]
    if names:
        yield stop_at(tree, names, f"{without}it has no parameter for {{}}")


def _kv_scales_of_towers(tree: Tree) -> Iterator[Reason]:
    """Scales of a KV cache where there is none, at which a release stops that drops no tensor.

    The attention of a tower has no cache, and that of a decoder to its encoder no parameter for the
    scales of one (vllm 0.33.0, vllm/model_executor/layers/attention/mm_encoder_attention.py,
    vllm/model_executor/models/whisper.py).
    """
    if tree.runtime.drops_strays or not tree.base:
        return
    within = f"{tree.base}."
    modules = tree.checkpoint.modules
    names = [
        modules[name].tensor_names[role]
        for name, place in tree.places.items()
        if not (place.startswith(within) and _CROSS not in place)
        and not fnmatchcase(name, tree.expected.skips_kv_scales)
        and not place.startswith(tree.family.spec.drops_below)
        for role in modules[name].tensors
        if role in KV_SCALES
    ]
    if names:
        yield stop_at(tree, names, "it has no KV cache there, so no parameter for {}")


def _kv_scales_of_many(tree: Tree) -> Iterator[Reason]:
    """Scales of a KV cache that are no scalars, in a checkpoint of ModelOpt.

    vLLM has parameters for them whether or not the metadata declares a quantized cache.
    """
    has_parameters = tree.kv_cache or (tree.has_config and tree.runtime.always_takes_kv_scales)
    if has_parameters and not tree.takes:
        yield from one_scale_reasons(tree)


def one_scale_reasons(tree: Tree) -> Iterator[Reason]:
    """Scales of a KV cache that are no scalars, where attention has one for all of its heads.

    Both loaders take one number of any shape (vllm 0.33.0, sglang 0.5.23,
    model_loader/weight_utils.py `default_weight_loader`). vLLM has one of queries, too.
    """
    if not tree.expected.loads_kv_scales or tree.checkpoint.table.names_only:
        return
    scales = {*KV_SCALES, *(() if tree.runtime.drops_strays else (OF_QUERIES[0],))}
    names = [
        module.tensor_names[role]
        for module in tree.checkpoint.modules.values()
        for role in module.tensors.keys() & scales
        if prod(module.tensors[role].shape) != 1
    ]
    if names:
        yield stop_at(tree, names, "a KV cache has one scale, but {} has several")


def _of_quantized_attention(tree: Tree) -> Iterator[Reason]:
    """What compressed-tensors stores for attention: SGLang has scales of keys and values only.

    vLLM has scales of queries, and passes over zero points (vllm 0.33.0,
    vllm/model_executor/layers/quantization/base_config.py).
    """
    if not tree.runtime.drops_strays or not (tree.takes or tree.kv_cache):
        return
    modules = tree.checkpoint.modules.values()
    held = (m for m in modules if m.weight is None and m.name.endswith(_ATTENTION))
    names = [m.tensor_names[role] for m in held for role in OF_QUERIES if role in m.tensors]
    if names:
        yield about(tree, names, "does not load {}", Effect.WRONG_WEIGHTS)


def _of_probabilities(tree: Tree) -> Iterator[Reason]:
    """Scales of probabilities that are next to anything but attention, where it is looked for."""
    modules = tree.checkpoint.modules
    found = {
        modules[name].tensor_names[OF_PROBABILITIES]: place
        for name, place in tree.places.items()
        if OF_PROBABILITIES in modules[name].tensors and not name.endswith(f".{_ATTENTION}")
    }
    yield from each_effect(tree, list(found), found, "has no parameter for")


def _biases(tree: Tree) -> Iterator[Reason]:
    """ModelOpt's biases of a cache: attention has no parameter for them in either runtime.

    vLLM stops at them in every class (vllm 0.33.0, vllm/model_executor/layers/quantization/
    kv_cache.py; sglang 0.5.23, sglang/srt/layers/quantization/kv_cache.py).
    """
    modules = tree.checkpoint.modules
    found = {
        modules[name].tensor_names[role]: place
        for name, place in tree.places.items()
        for role in modules[name].tensors
        if role in KV_BIASES
    }
    yield from each_effect(tree, list(found), found, "has no parameter for")


def _elsewhere(tree: Tree) -> Iterator[Reason]:
    """Scales of a cache in modules that a learned class was not seen to load anything of."""
    if tree.layout is not None or tree.family.learned is None:
        return
    modules = tree.checkpoint.modules
    known = modules_of(tree.family.spec.runtime, (tree.family.learned.architecture,))
    found = {
        modules[name].tensor_names[role]: place
        for name, place in tree.places.items()
        for role in modules[name].tensors
        if role in KV_SCALES and not _is_known(mask(name), known)
    }
    yield from each_effect(tree, list(found), found, "builds no module for")


def _is_known(masked: str, known: frozenset[str]) -> bool:
    """Whether attention is there, or a layer, next to which the other rules look for it."""
    within, _, last = masked.rpartition(".")
    if last in _MADE and _attends(within, known):
        return True
    if masked not in known or _attends(masked, known):
        return masked in known
    is_block = any(name.startswith(f"{masked}.") for name in known)
    return not is_block or any(part in last for part in _NAMES)


def _attends(block: str, known: frozenset[str]) -> bool:
    return any(f"{block}.{layer}" in known for layer in _OF_KEYS)
