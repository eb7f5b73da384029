"""What other quantizers store next to codes, next to modules that a release builds unquantized."""

from collections.abc import Callable, Iterator, Set
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES, OUTPUT_SCALE, ROLES
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.parameters import OF_CACHE
from ckptfix.runtimes.structure.parts import SCALES_OF_WEIGHTS
from ckptfix.runtimes.structure.several import each_effect
from ckptfix.runtimes.structure.tree import Tree

_HARMLESS: Final = ("weight", "g_idx", *KV_ROLES, *(r.name for r in ROLES if r.of_models))
"""What an unquantized layer has, an order that nothing needs, what `_cache_scales` judges, and
names of parameters of model classes."""
COMPANIONS: Final = frozenset({r.name for r in ROLES} | {OUTPUT_SCALE}) - frozenset(_HARMLESS)
_OF_ATTENTION: Final = frozenset((*KV_ROLES, *OF_CACHE))
_WITHOUT_CACHE: Final = frozenset(
    (
        "q_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
        "gate_up_proj",
        "c_fc",
        "c_proj",
        "fc1",
        "fc2",
        "gate",
        "router",
        "mlp",
        "linear_attn",
    )
)
"""Last parts of names of modules next to which no runtime looks for scales of the cache."""


def companion_reasons(
    tree: Tree, judged: Set[str], reads_output: Callable[[str], bool]
) -> Iterator[Reason]:
    """Tensors of quantized layers next to norms, tables, routers and layers without a scheme.

    Args:
        tree: a checkpoint of another quantizer than ModelOpt.
        judged: stored modules whose layer is compared with all that they store.
        reads_output: whether the `output_scale` of a module is read.
    """
    modules = tree.checkpoint.modules
    found: dict[str, str] = {}
    for each in tree.once("companions", lambda: tuple(_with_companions(tree))):
        module = modules[each.name]
        odd = each.of_cache if each.name in judged else each.of_cache | each.beside
        for role in module.tensors if odd else ():
            if role in odd and not (role == OUTPUT_SCALE and reads_output(each.name)):
                found[module.tensor_names[role]] = each.place
    yield from each_effect(tree, list(found), found, "has no parameter for")


class _WithCompanions(Struct, frozen=True):
    """A stored module and its tensors that some layer has no parameter for."""

    name: str
    place: str
    of_cache: Set[str]
    """Roles of scales of a KV cache where there is none."""
    beside: Set[str]
    """Roles of companions, which no unquantized layer takes."""


def _with_companions(tree: Tree) -> Iterator[_WithCompanions]:
    modules, taken = tree.checkpoint.modules, frozenset(tree.family.spec.reads_scales)
    for name, place in tree.places.items():
        module = modules[name]
        of_cache = frozenset(_cache_scales(tree, name, place, module))
        beside = _companions(module) - taken
        if beside and _is_elsewhere(tree, name):
            beside = frozenset()
        if of_cache or beside:
            yield _WithCompanions(name, place, of_cache, beside)


def weightless_reasons(tree: Tree) -> Iterator[Reason]:
    """The same in a checkpoint of ModelOpt: in blocks, and where no layout lists what is stored."""
    modules = tree.checkpoint.modules
    found = {
        modules[name].tensor_names[role]: place
        for name, place in tree.places.items()
        if modules[name].weight is None
        for role in _companions(modules[name])
    }
    taken = frozenset(tree.family.spec.reads_scales)
    for name, place in tree.places.items():
        module, odd = modules[name], set[str]()
        if tree.layout is None or module.weight is None:
            odd.update(_cache_scales(tree, name, place, module))
        if tree.layout is None and _is_vector(module):
            odd |= _companions(module) - taken
        names = module.tensor_names
        found |= {names[role]: place for role in module.tensors if role in odd}
    yield from each_effect(tree, list(found), found, "has no parameter for")


def _companions(module: Module) -> Set[str]:
    """Roles of companions; where scales have no weight, that is what `incomplete_reasons` finds."""
    found = module.tensors.keys() & COMPANIONS
    return found if module.weight is not None else found - SCALES_OF_WEIGHTS


def _is_vector(module: Module) -> bool:
    return module.weight is not None and len(module.weight.shape) == 1


def _is_elsewhere(tree: Tree, name: str) -> bool:
    """True for a module of a draft model, and one that the loader dequantizes."""
    return tree.family.is_dequantized(name) or draft_root(tree.checkpoint, name) is not None


def _cache_scales(tree: Tree, name: str, place: str, module: Module) -> Iterator[str]:
    """Scales of a KV cache at which a release stops, because no attention is there.

    One that drops what it has no parameter for computes as without them.
    """
    spec, last = tree.family.spec, name.rpartition(".")[2]
    if module.tensors.keys().isdisjoint(_OF_ATTENTION):
        return
    is_table = tree.family.modules.is_embedding(place)
    without = _is_vector(module) or is_table or EXPERTS in name or last in _WITHOUT_CACHE
    passes = tree.runtime.drops_strays or spec.passes_over_kv_scales
    if last in spec.stops_at_kv_scales_of or (without and not passes):
        yield from _OF_ATTENTION
