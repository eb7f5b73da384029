"""Embeddings, the output head, the last norm, and other modules outside the layers."""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.runtimes.family_spec import BuiltWhenSpec
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

USES_EMBEDDINGS: Final = "it uses the embeddings for the head"
"""What a class does with a head that is tied; where it loads one nevertheless, the embeddings are
written over (sglang 0.5.23, sglang/srt/models/qwen2_5_vl.py)."""


def table_reasons(tree: Tree) -> Iterator[Reason]:
    """Problems with modules outside the layers."""
    if tree.base:
        yield from _rows(tree)
        yield from _ties(tree)
    yield from _only_some_configs(tree)


def beside_reasons(tree: Tree) -> Iterator[Reason]:
    """Modules that the language model or a tower always has outside its layers."""
    layout = tree.layout
    if layout is None or any(not layout.may_hold(place) for place in tree.outside):
        return  # a module with an unknown name is most likely the missing one, already reported
    by_config = [name for when in layout.when_set(tree.config) for name in when.beside_layers]
    for name in (*layout.spec.beside_layers, *by_config, *_for_each(tree, layout)):
        if name not in tree.outside:
            yield tree.uninitialised(f"{tree.base}.{name}")
    top = tree.checkpoint.modules.get(tree.itself if tree.tower else "")
    for name in layout.spec.top_parameters:
        if top is None or name not in top.tensors:
            yield tree.uninitialised(f"{tree.tower}.{name}".removeprefix("."))


def _for_each(tree: Tree, layout: Layout) -> Iterator[str]:
    for key, modules in layout.spec.for_each_of.items():
        missing = [None] * layout.spec.default_lengths.get(key, 0)
        items = tree.config.values.get(key, missing)
        for number in range(len(items) if isinstance(items, list) else 0):
            yield from (name.replace("#", str(number)) for name in modules)


def tower_reasons(tree: Tree) -> Iterator[Reason]:
    """Towers and projectors of which nothing is stored, and which the class builds all the same."""
    spec, values = tree.family.spec, tree.checkpoint.config_values or {}
    if spec.no_towers_if and values.get(spec.no_towers_if):
        return
    for tower in (*spec.towers, *spec.other_towers):
        if not any(f"{place}.".startswith(f"{tower}.") for place in tree.places.values()):
            yield tree.unwritten(f"nothing of {tower} is stored")


def _rows(tree: Tree) -> Iterator[Reason]:
    rows = tree.config.number("vocab_size")
    tables = [name for name, place in tree.below.items() if place == "embed_tokens"]
    for name in (*tables, *tree.heads):
        weight = tree.checkpoint.modules[name].weight
        if weight is None:
            continue
        if name in tree.heads and len(weight.shape) > 2:  # layouts have the sizes of the others
            found = f"{visible(name)} has {len(weight.shape)} dimensions, and a head has two"
            yield Reason.stop(found, tensor=name)
        elif rows is not None and weight.shape[:1] not in ((), (rows,)):
            mismatch = f"{visible(name)} has {weight.shape[0]:,} rows, but vocab_size is {rows:,}"
            yield Reason.stop(mismatch, tensor=name)


def _ties(tree: Tree) -> Iterator[Reason]:
    spec, tied = tree.family.spec, tree.expected.tied
    either = spec.tied_by_either and tree.checkpoint.config.may_tie
    if tied is False and spec.must_tie:
        yield Reason.stop("tie_word_embeddings is false, and its class has no head of its own")
    elif tied is False and not either and not tree.heads and tree.layout is not None:
        why = f"the head is not stored, and {untied_because(tree)}"
        yield Reason(f"leaves weights uninitialised: {why}", Effect.WRONG_WEIGHTS)
    elif tree.heads and (spec.leaves_out_head or (tied and spec.leaves_out_tied_head)):
        yield from _left_out(tree, tied=tied)


def _left_out(tree: Tree, *, tied: bool | None) -> Iterator[Reason]:
    """Why a stored head that is not loaded makes a difference."""
    config, stored = tree.checkpoint.config, tree.checkpoint.tied_head
    unties = tree.family.spec.tied_by_text and config.tied_by_wrapper is True
    if tied is not False and (unties or (stored is not None and stored.repeats_embeddings)):
        return
    head = tree.heads[0]
    why = f"tie_word_embeddings is true, so {USES_EMBEDDINGS}"
    if not tied:
        why = "its class skips it"
    yield Reason(f"does not load {visible(head)}: {why}", Effect.WRONG_WEIGHTS, tensor=head)


def untied_because(tree: Tree) -> str:
    """Why a head is not tied to the embeddings, by config.json or by the class that reads it."""
    config = tree.checkpoint.config
    if config.may_tie:
        return "its class does not tie it"
    written = False in (config.tied_by_wrapper, config.tied_embeddings)
    return "tie_word_embeddings is false" + ("" if written else " by default")


def _only_some_configs(tree: Tree) -> Iterator[Reason]:
    for built in tree.expected.built:
        if built.values:
            yield from _only_some_values(tree, built)
            continue
        number = tree.config.number(built.key)
        if not number:
            continue
        for name in built.modules:
            if name not in tree.checkpoint.modules:
                why = f"{visible(name)} is not stored, but {built.key} is {number:,}"
                yield Reason(f"leaves weights uninitialised: {why}", Effect.WRONG_WEIGHTS)


def _only_some_values(tree: Tree, built: BuiltWhenSpec) -> Iterator[Reason]:
    value = find_at(tree.config.values, built.key.split("."))
    is_built = value in built.values
    given = "missing" if value is None else visible(str(value))
    for name in built.modules:
        is_stored = name in tree.checkpoint.modules
        if is_built and not is_stored:
            why = f"{visible(name)} is not stored, but {built.key} is {given}"
            yield Reason(f"leaves weights uninitialised: {why}", Effect.WRONG_WEIGHTS)
        elif is_stored and not is_built:
            why = f"{built.key} is {given}"
            text = f"does not load {visible(name)}: {why}"
            yield Reason(text, Effect.WRONG_WEIGHTS, tensor=name)
