"""What the classes read of config.json without looking whether it is there."""

from collections.abc import Iterator

from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def setting_reasons(tree: Tree) -> Iterator[Reason]:
    """Keys that are missing, and values that no class takes."""
    values = tree.config.values
    for key in tree.family.spec.needs:
        if values and key not in values:
            told = f"stops: config.json has no {key}, which this architecture needs"
            yield Reason(told, Effect.STOPS)
    for key, known in tree.family.spec.allows.items():
        listed = values.get(key)
        odd = [v for v in listed if v not in known] if isinstance(listed, list) else []
        if odd:
            told = f"stops: {key} of config.json holds {visible(str(odd[0]))}"
            yield Reason(f"{told}, which it does not support", Effect.STOPS)
