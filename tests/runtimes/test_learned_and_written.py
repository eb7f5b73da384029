"""What is written by hand in families, against what the classes were seen to do."""

from collections.abc import Iterable, Mapping

import pytest
from msgspec.structs import fields

from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.family import Family, families_named, newest_learned, why_unknown
from ckptfix.runtimes.family_files import builtin_family_files
from ckptfix.runtimes.family_spec import FamilySpec
from ckptfix.runtimes.learned.places import TablePlaces
from ckptfix.runtimes.learned.placing import learned_modules
from ckptfix.runtimes.learned.store import Learned, learned, learned_releases
from ckptfix.runtimes.placing import runtime_modules
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.runtime_module import RuntimeModule

SPECS = [spec for file in builtin_family_files().values() for spec in file.families]
BY_HAND = [
    (spec, architecture) for spec in SPECS if spec.places for architecture in spec.architectures
]
BY_TABLE = [
    (spec, architecture) for spec in SPECS if not spec.places for architecture in spec.architectures
]


def _id(case: object) -> str:
    return f"{case.runtime}{case.versions}" if isinstance(case, FamilySpec) else str(case)


def family_of(spec: FamilySpec, architecture: str) -> Family:
    [found] = [f for f in families_named(spec.runtime, architecture) if f.spec is spec]
    return found


def known(spec: FamilySpec, architecture: str) -> Learned | None:
    return newest_learned(spec.runtime, spec.versions, architecture)


def tried(record: Learned) -> list[str]:
    """Modules of a checkpoint with each of its names, numbered 0."""
    table = record.names
    return [
        row.stored.replace("#", "0")
        for row in table.rows.values()
        if f"{row.stored}.weight" in table.tensors and row.kind != "other"
    ]


def placed(family: Family, names: Iterable[str]) -> Mapping[str, tuple[object, ...]]:
    """Checkpoint module -> its place, what it is part of, and how that is looked up."""
    tensors = {f"{name}.weight": Tensor("BF16", (64, 64), 0) for name in names}
    return {
        member: (
            family.places.map(member),
            module.name if module.takes_quant_config else None,
            module.kind,
            module.members.index(member) if module.kind == "linear" else 0,
        )
        for module in runtime_modules(group_modules(tensors), family)
        for member in module.members
    }


def by_table(record: Learned) -> Family:
    return Family(FamilySpec("", (), "", ""), TablePlaces(record.names))


def differs(spec: FamilySpec, architecture: str, record: Learned, name: str) -> bool:
    names = [*tried(record), name]
    written = placed(family_of(spec, architecture), names)
    return written.get(name) != placed(by_table(record), names).get(name)


@pytest.mark.parametrize(("spec", "architecture"), BY_HAND, ids=_id)
def test_places_by_hand_differ_from_the_table_that_would_replace_them(
    spec: FamilySpec, architecture: str
) -> None:
    assert spec.places is not None
    record = known(spec, architecture)
    if record is None or record.origin.source == "invented":
        assert not spec.places.differs_at
        return
    assert spec.places.differs_at, "it was learned by now: delete [families.places]"
    for name in spec.places.differs_at:
        assert differs(spec, architecture, record, name), f"{name}: the table has it by now"


@pytest.mark.parametrize(("spec", "architecture"), BY_TABLE, ids=_id)
def test_entries_without_places_rest_on_tables_of_configs_that_exist(
    spec: FamilySpec, architecture: str
) -> None:
    record = known(spec, architecture)
    assert record is not None
    assert record.origin.source != "invented"
    assert not record.table.unclear
    assert spec.kv_scales is None or record.table.kv_scales is None, "it was tried by now"


def asked(modules: Iterable[RuntimeModule]) -> dict[str, str | None]:
    """Checkpoint module -> what it is asked for as; None where it takes no config."""
    return {
        member: module.name if module.takes_quant_config else None
        for module in modules
        if module.kind not in ("embedding", "other")
        for member in module.members
    }


@pytest.mark.parametrize(("spec", "architecture"), [*BY_HAND, *BY_TABLE], ids=_id)
def test_entries_ask_as_the_classes_did(spec: FamilySpec, architecture: str) -> None:
    record = known(spec, architecture)
    if record is None or record.origin.source == "invented":
        pytest.skip("not learned")
    rows = {row.stored.replace("#", "0"): row for row in record.names.rows.values()}
    names = [name for name in tried(record) if rows[name].stored not in record.names.unclear]
    modules = group_modules({f"{name}.weight": Tensor("BF16", (64, 64), 0) for name in names})
    seen = asked(learned_modules(modules, record.names))
    written = asked(runtime_modules(modules, family_of(spec, architecture)))
    found = {name for name in seen.keys() & written.keys() if seen[name] != written[name]}
    if spec.places is not None and spec.places.asks_otherwise:
        assert found, "it agrees by now: delete `asks_otherwise`"
    else:
        assert not found


@pytest.mark.parametrize(("spec", "architecture"), BY_TABLE, ids=_id)
def test_other_spellings_are_not_among_those_that_were_tried(
    spec: FamilySpec, architecture: str
) -> None:
    record = known(spec, architecture)
    assert record is not None
    names = tried(record)
    mapper = family_of(spec, architecture).places
    own = by_table(record).places
    assert [mapper.map(name) for name in names] == [own.map(name) for name in names]


def test_every_entry_says_something_that_was_not_learned() -> None:
    said = {"runtime", "architectures", "source", "reason", "versions"}
    plain = {field.name: field.default for field in fields(FamilySpec) if field.name not in said}
    for spec in SPECS:
        assert spec.reason, spec
        assert spec.places is None or spec.places.reason, spec
        assert any(getattr(spec, name) != default for name, default in plain.items()), spec


@pytest.mark.parametrize(("spec", "architecture"), BY_TABLE, ids=_id)
def test_the_table_of_an_entry_holds_for_the_older_releases_that_were_learned(
    spec: FamilySpec, architecture: str
) -> None:
    newest = known(spec, architecture)
    assert newest is not None
    for release in learned_releases(spec.runtime):
        older = learned(spec.runtime, release, architecture)
        if not covers(spec.versions, release) or older is None or not older.is_certain:
            continue
        if why_unknown(spec.runtime, release, architecture):
            continue
        names = sorted({*tried(older)} & {*tried(newest)})
        tensors = {f"{name}.weight": Tensor("BF16", (64, 64), 0) for name in names}
        modules = group_modules(tensors)
        rules = runtime_named(spec.runtime).lookup_rules_of(release)
        before, after = (
            [
                module
                for module in learned_modules(modules, table)
                if rules.quantizes_heads or module.kind != "head"
            ]
            for table in (older.names, newest.names)
        )
        assert asked(before) == asked(after), f"{release} looks other names up: give it `versions`"
