import json

import pytest
from packaging.version import Version

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes
from tests.conftest import SHARED

COMPUTED = ("Glm5NextForConditionalGenerationNextN", "Transformers")
"""Classes (how their names begin) whose mapper the facts at hand have from the class body. The
method of the first makes another from the config, those of the second are joined with those of
their bases when the class is created.
"""
RELEASES = [(r, v) for r in known_runtimes() for v in known_releases(r)]


def test_known_releases_are_in_order_of_version() -> None:
    assert known_runtimes() == ("vllm", "sglang")
    for runtime in known_runtimes():
        known = known_releases(runtime)
        assert sorted(known, key=Version) == list(known)
    assert (known_releases("vllm")[0], len(known_releases("vllm"))) == ("0.15.0", 28)
    assert known_releases("sglang")[:3] == ("0.5.8", "0.5.8.post1", "0.5.9")


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
def test_every_release_loads_and_names_its_wheel(runtime: str, version: str) -> None:
    profile = load_profile(runtime, version)
    assert profile.source.startswith(f"{runtime}-{version}-")
    assert len(profile.source.split()[-1]) == 64
    for architecture in profile.architectures.values():
        assert architecture.file.startswith(f"{runtime}/")


@pytest.mark.parametrize(
    ("runtime", "version", "count"),
    [
        ("vllm", "0.15.1", 272),
        ("vllm", "0.16.0", 284),
        ("vllm", "0.17.1", 305),
        ("vllm", "0.33.0", 415),
        ("sglang", "0.5.23", 290),
    ],
)
def test_every_registered_architecture_is_included(runtime: str, version: str, count: int) -> None:
    assert len(load_profile(runtime, version).architectures) == count


@pytest.mark.parametrize(
    ("release", "architecture", "prefix"),
    [
        ("vllm 0.17.1", "NemotronH_Nano_VL_V2", None),
        (
            "vllm 0.20.0",
            "NemotronH_Nano_VL_V2",
            (("language_model.backbone", "language_model.model"),),
        ),
        ("vllm 0.33.0", "NemotronHForCausalLM", (("backbone", "model"), ("mtp", None))),
        ("sglang 0.5.12.post1", "NemotronH_Nano_VL_V2", None),
        (
            "sglang 0.5.14",
            "NemotronH_Nano_VL_V2",
            (("language_model.backbone.", "language_model.model."),),
        ),
    ],
)
def test_mappers_of_the_releases(
    release: str, architecture: str, prefix: tuple[tuple[str, str | None], ...] | None
) -> None:
    mapper = load_profile(*release.split()).architectures[architecture].mapper
    assert (mapper.prefix if mapper else None) == prefix


def test_packed_tables_of_the_releases() -> None:
    vllm = load_profile("vllm", "0.33.0").architectures
    assert vllm["LlamaForCausalLM"].packed_modules == {
        "qkv_proj": ("q_proj", "k_proj", "v_proj"),
        "gate_up_proj": ("gate_proj", "up_proj"),
    }
    sglang = load_profile("sglang", "0.5.23").architectures
    assert sglang["LlamaForCausalLM"].packed_modules is None


def test_an_unknown_release_is_reported() -> None:
    with pytest.raises(CkptfixError, match=r"unknown release; known are 0\.15\.0, 0\.15\.1"):
        load_profile("vllm", "0.1")
    with pytest.raises(CkptfixError, match="unknown runtime; known are vllm, sglang"):
        known_releases("tgi")


@pytest.mark.skipif(not (SHARED / "profiles").is_dir(), reason="lies in ../shared")
@pytest.mark.parametrize(("runtime", "version"), RELEASES)
def test_the_profiles_agree_with_the_facts_at_hand(runtime: str, version: str) -> None:
    path = SHARED / "profiles" / f"{runtime}-{version}.json"
    if not path.is_file():
        pytest.skip("was not made for this release")
    facts = json.loads(path.read_text())["architectures"]
    profile = load_profile(runtime, version).architectures
    assert set(profile) == set(facts)
    for name, fact in facts.items():
        if fact["class"].startswith(COMPUTED):
            continue
        mapper = fact.get("mapper") or {}
        if isinstance(mapper, dict) and "$unresolved" not in mapper:
            stored = profile[name].mapper
            for kind in ("regex", "substr", "prefix", "suffix"):
                rules = [list(rule) for rule in getattr(stored, kind)] if stored else []
                assert rules == mapper.get(kind, []), (name, kind)
