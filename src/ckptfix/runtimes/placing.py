"""Modules of a checkpoint + family -> modules of the runtime, by looked-up name."""

from collections.abc import Mapping, Set
from itertools import chain
from typing import Any

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.config_classes import class_for
from ckptfix.runtimes.draft_classes import is_draft
from ckptfix.runtimes.family import Family, families_of
from ckptfix.runtimes.learned.placing import learned_modules
from ckptfix.runtimes.places import bank_of
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.runtime_module import RuntimeModule, RuntimeModuleKind


class _Member(Struct, frozen=True):
    name: str
    kind: RuntimeModuleKind
    order: int
    """Among the members of a packed module."""


def placed(checkpoint: Checkpoint, family: Family) -> tuple[RuntimeModule, ...]:
    """The runtime's modules of a checkpoint; most releases place them the same way."""
    config = checkpoint.config
    key = "placed", id(family)  # families are never freed
    made_for, modules = checkpoint.table.derived.get(key, (None, ()))
    if made_for is not config:
        modules = runtime_modules(_of_model(checkpoint, family), family, config)
        checkpoint.table.derived[key] = config, modules
    found: tuple[RuntimeModule, ...] = modules
    return found


def _of_model(checkpoint: Checkpoint, family: Family) -> Mapping[str, Module]:
    """Without the draft layers of its config: another class is built for those.

    vLLM 0.33.0, vllm/model_executor/models/utils.py `skip_spec_layers`; SGLang 0.5.23, the
    `load_weights` of the models.
    """
    spec = family.spec
    if not _has_draft_layers(checkpoint, spec.runtime) or any(
        is_draft(spec.runtime, name) for name in spec.architectures
    ):
        return checkpoint.modules
    key = "modules outside draft layers"  # the same for every family
    if key not in checkpoint.derived:
        checkpoint.derived[key] = {
            name: module
            for name, module in checkpoint.modules.items()
            if draft_root(checkpoint, name) is None
        }
    found: Mapping[str, Module] = checkpoint.derived[key]
    return found


def _has_draft_layers(checkpoint: Checkpoint, runtime: str) -> bool:
    """Whether config.json or, where it is silent, the newest config class says how many there are.

    A release whose class does not say finds no layer for them: see `structure`.
    """
    if checkpoint.config.draft_layers is not None:
        return True
    rows, values = runtime_named(runtime).config_classes, checkpoint.config_values or {}
    known = class_for(rows, rows[-1].since, values.get("model_type")) if rows else None
    if known is None:
        return False
    return known.completed(values, checkpoint.config).draft_layers is not None


def looked_up(checkpoint: Checkpoint) -> Set[str] | None:
    """Checkpoint names of the modules that some known release looks up in its config.

    Routers, tables and norms are not among them. None if no release's classes are known.
    """
    families = families_of(checkpoint.config.architectures)
    if not families:
        return None
    key = "looked up"
    if key not in checkpoint.derived:
        modules = chain.from_iterable(placed(checkpoint, family) for family in families)
        checkpoint.derived[key] = {
            name for m in modules if m.takes_quant_config for name in m.members
        }
    found: Set[str] = checkpoint.derived[key]
    return found


def runtime_modules(
    modules: Mapping[str, Module], family: Family, config: ModelConfig | None = None
) -> tuple[RuntimeModule, ...]:
    """The runtime's modules, in the order of their first tensor in the checkpoint.

    Only modules with a weight of two or more dimensions are placed: norms and biases are never
    quantized, and no runtime looks them up.
    """
    if family.learned is not None:
        return learned_modules(modules, family.learned.names_for(config))
    places = [
        (name, module)
        for module in modules.values()
        if module.name
        and _has_matrix(module)
        and (name := family.mapper.map(module.name)) is not None
    ]
    names = {name for name, _ in places}
    # Modules that are looked up without a name have nothing in common.
    grouped: dict[tuple[str, str], list[_Member]] = {}
    for name, module in places:
        bank = bank_of(name)
        known_by = name or family.places.map(module.name) or ""
        kind = "experts" if bank else _kind(known_by, module, family)
        looked_up_as, order = bank or name, 0
        if kind == "linear":
            looked_up_as, order = family.modules.packed(name, names)
        alone = "" if looked_up_as else module.name
        grouped.setdefault((looked_up_as, alone), []).append(_Member(module.name, kind, order))
    values = config.values if config else {}
    return tuple(_join(name, members, family, values) for (name, _), members in grouped.items())


def _join(
    name: str, members: list[_Member], family: Family, config: Mapping[str, Any]
) -> RuntimeModule:
    kind = members[0].kind
    in_order = sorted(members, key=lambda member: member.order)
    # vLLM and SGLang hand embeddings their config, which answers for linears, heads and expert
    # banks only (vllm 0.33.0 vllm/model_executor/layers/quantization/modelopt.py, sglang 0.5.23
    # sglang/srt/layers/quantization/modelopt_quant.py: get_quant_method).
    never = kind in ("embedding", "other") or family.modules.is_never_quantized(name, config)
    names = tuple(member.name for member in in_order)
    return RuntimeModule(name, names, kind, takes_quant_config=not never)


def _has_matrix(module: Module) -> bool:
    """True if the weight has two or more dimensions.

    An unquantized stacked expert bank has no `weight` but parameters of three dimensions.
    """
    if module.weight is not None:
        return len(module.weight.shape) >= 2
    return any(len(tensor.shape) == 3 for tensor in module.tensors.values())


def _kind(name: str, module: Module, family: Family) -> RuntimeModuleKind:
    if family.modules.is_head(name):
        return "head"
    if family.modules.is_embedding(name):
        return "embedding"
    return "linear" if module.weight is not None and len(module.weight.shape) == 2 else "other"
