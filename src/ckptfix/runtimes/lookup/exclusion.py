"""Whether a module is excluded, as each runtime decides it."""

from ckptfix.runtimes.lookup.dialects import Dialect
from ckptfix.runtimes.lookup.patterns import (
    BUILTIN_PACKED,
    Excluded,
    Packed,
    Pattern,
    PatternTable,
    by_members,
)
from ckptfix.runtimes.lookup.regexes import RegexTable


def find_exclusion(
    dialect: Dialect, table: PatternTable, regexes: RegexTable, packed: Packed, name: str
) -> Excluded | None:
    """The reason why a runtime excludes a module, None when it does not.

    Raises:
        LookupDisagreementError: the runtime would raise.
    """
    if not table.patterns:
        return None
    if dialect.exclusion == "vllm":
        return (
            _vllm_skipped(dialect, table, packed, name)
            or _found("substring", table.inside_but_shorter(name))
            or _found("wildcard", table.glob_for(name))
        )
    # In the mixed method SGLang asks the other way round and can raise where this does not; the
    # conformance data joins the two functions in this order.
    return regexes.find(name) or _sglang_skipped(dialect, table, packed, name)


def find_module_exclusion(
    dialect: Dialect,
    table: PatternTable,
    regexes: RegexTable,
    packed: Packed,
    name: str,
    *,
    experts: bool,
) -> Excluded | None:
    """The same, asked as the release does when it builds a layer (`get_quant_method`).

    SGLang asks the function that can raise first, and for expert banks the other one only.

    Raises:
        LookupDisagreementError: the runtime would raise.
    """
    if dialect.exclusion == "vllm" or not table.patterns:
        return find_exclusion(dialect, table, regexes, packed, name)
    skipped = None if experts else _sglang_skipped(dialect, table, packed, name)
    return skipped or regexes.find(name)


def _found(how: str, pattern: Pattern | None) -> Excluded | None:
    return Excluded(how, pattern) if pattern else None


def _vllm_skipped(
    dialect: Dialect, table: PatternTable, packed: Packed, name: str
) -> Excluded | None:
    last = name.rpartition(".")[2]
    if last in packed:
        if dialect.honours_listed_packed_name and (hit := table.equal_to(name)):
            return Excluded("exact", hit)
        return by_members(name, packed[last], table.equal_to)
    if "experts" in name:
        return _found("experts", table.expert_below(name))
    return _found("exact", table.equal_to(name))


def _sglang_skipped(
    dialect: Dialect, table: PatternTable, packed: Packed, name: str
) -> Excluded | None:
    last = name.rpartition(".")[2]
    members = packed
    if last not in packed and dialect.excludes_builtin_packed:
        members = BUILTIN_PACKED

    def hits(wanted: str) -> Pattern | None:
        if dialect.excludes_substrings:
            return table.inside(wanted)
        return table.in_whole_parts(wanted, ignore_last_dots=dialect.ignores_trailing_dots)

    if last in members:
        return by_members(name, members[last], hits)
    if hit := hits(name):
        return Excluded("substring" if dialect.excludes_substrings else "path", hit)
    if "gate_up_proj" in name:
        halves = [name.replace("gate_up_proj", half) for half in ("gate_proj", "up_proj")]
        found = table.positions(halves)
        return _found("packed members", table.earliest(found)) if len(found) == 2 else None
    return _found("experts", table.expert_below(name)) if "experts" in name else None
