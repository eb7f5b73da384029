"""Tensor names that runtimes cannot load, as name maps over tensor names.

The files `runtimes/tensor_maps/*.toml` have the schema of a name map. One without `architectures`
holds for every checkpoint. A file belongs here only if no runtime loads the old name: its renames
are proposed without being requested.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from ckptfix.names import NameMapper
from ckptfix.runtimes.facts import FACTS, toml_files
from ckptfix.runtimes.name_maps import NameMap, NameMapSpec, compile_rules, parse_name_map


@cache
def builtin_tensor_maps() -> Mapping[str, NameMapSpec]:
    """Name of a file under `runtimes/tensor_maps/` -> its map, in the order of the names."""
    paths = toml_files(FACTS / "tensor_maps")
    return {path.stem: parse_name_map(path.read_text("utf-8"), path.name) for path in paths}


def choose_tensor_map(
    architectures: Sequence[str],
    nested: Sequence[tuple[str, Sequence[str]]],
    *,
    without: str = "",
) -> NameMap:
    """The tensor names that are known to be wrong for a checkpoint, and the right ones.

    Args:
        architectures: `architectures` at the top of config.json.
        nested: ``(prefix, architectures)`` of the language model's own config; prefix rules of its
            maps are moved below that prefix.
        without: name of a map that is left out.
    """
    mapper = NameMapper()
    for name, spec in builtin_tensor_maps().items():
        if name == without:
            continue
        rules = compile_rules(spec, spec.description)
        if not spec.architectures or set(spec.architectures) & set(architectures):
            mapper = mapper.then(rules)
        for prefix, inner in nested:
            if set(spec.architectures) & set(inner):
                mapper = mapper.then(rules.below(prefix))
    return NameMap(mapper, "known tensor names", required=True)
