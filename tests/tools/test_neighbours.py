"""What the learner does not build: classes that do alike in the releases before and after."""

import pytest
from msgspec.structs import replace
from packaging.version import Version

from ckptfix.runtimes.learned.records import ArchitectureRecord, ReleaseRecord
from ckptfix.runtimes.learned.store import learned_releases, release
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import known_runtimes
from place_learner import neighbours

RUNTIME, OLDER, BETWEEN, NEWER = "vllm", "1.0", "1.1", "1.2"


def record(table: str, *, heads: str = "", alike: tuple[str, ...] = ()) -> ArchitectureRecord:
    return ArchitectureRecord(table, "made.py", "library", heads=tuple(heads), alike=alike)


@pytest.fixture(autouse=True)
def made_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three releases; the one between registers all that they have, and `Unseen`."""
    if "runtime" in request.fixturenames:
        return
    older = {"Same": record("a"), "Other": record("b"), "Copied": record("c", alike=("0.8", "1.0"))}
    newer = {"Same": record("a"), "Other": record("d"), "Copied": record("c"), "New": record("e")}
    older["Head"], newer["Head"] = record("f", heads="h"), record("f")
    releases = {
        OLDER: ReleaseRecord(RUNTIME, OLDER, "5.0", older, {"Never": "no", "Once": "no"}),
        NEWER: ReleaseRecord(RUNTIME, NEWER, "5.0", newer, {"Never": "still no"}),
    }
    registered = {*older, *newer, "Never", "Once", "Unseen"}
    profile = replace(
        load_profile(RUNTIME, "0.33.0"), architectures=dict.fromkeys(registered, None)
    )
    monkeypatch.setattr(neighbours, "learned_releases", lambda _: (OLDER, NEWER))
    monkeypatch.setattr(neighbours, "release", lambda _, version: releases[version])
    monkeypatch.setattr(neighbours, "known_releases", lambda _: (OLDER, BETWEEN, NEWER, "1.3"))
    monkeypatch.setattr(neighbours, "load_profile", lambda *_: profile)


def test_a_class_that_does_alike_on_both_sides_is_not_built() -> None:
    names = {"Same", "Other", "Copied", "New", "Never", "Once", "Unseen", "Head"}
    built = neighbours.to_build(RUNTIME, BETWEEN, names)
    assert built == ("Head", "New", "Once", "Other", "Unseen")


def test_newer_than_all_that_were_learned_everything_is_built() -> None:
    assert neighbours.to_build(RUNTIME, "1.3", {"Same", "Never"}) == ("Never", "Same")


def test_what_was_built_goes_before_what_the_neighbours_do() -> None:
    built = ReleaseRecord(RUNTIME, BETWEEN, "5.0", {"Other": record("x"), "Same": record("y")})
    whole = neighbours.completed(built)
    assert whole.architectures == {
        "Other": record("x"),
        "Same": record("y"),
        "Copied": record("c", alike=("0.8", NEWER)),
    }
    assert whole.failed == {"Never": "still no"}


def test_a_class_that_failed_here_is_not_taken_from_its_neighbours() -> None:
    built = ReleaseRecord(RUNTIME, BETWEEN, "5.0", {}, {"Same": "crash"})
    whole = neighbours.completed(built)
    assert set(whole.architectures) == {"Copied"}
    assert whole.failed == {"Never": "still no", "Same": "crash"}


@pytest.mark.parametrize(
    ("learned", "order"),
    [
        ({"1", "5"}, ["3", "4", "2"]),
        ({"3"}, ["5", "1", "4", "2"]),
        ({"1", "2", "4", "5"}, ["3"]),
        (set(), ["5", "1", "3", "4", "2"]),
    ],
)
def test_releases_are_added_from_the_middle_of_what_is_missing(
    learned: set[str], order: list[str]
) -> None:
    assert neighbours.by_halves(["1", "2", "3", "4", "5"], learned) == order


@pytest.mark.parametrize("runtime", known_runtimes())
def test_a_record_that_was_not_built_is_that_of_the_releases_it_names(runtime: str) -> None:
    for version in learned_releases(runtime):
        for name, found in release(runtime, version).architectures.items():
            if found.alike:
                older, newer = found.alike
                assert Version(older) < Version(version) < Version(newer)
                tables = {release(runtime, v).architectures[name].table for v in found.alike}
                assert tables == {found.table}, (version, name)
