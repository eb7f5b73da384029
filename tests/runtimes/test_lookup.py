"""Each step of a lookup, per release; the whole against the answers of the real functions."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.common.mapping import map_config_name
from ckptfix.runtimes.profile import ArchitectureProfile, ConfigMapper, RuntimeProfile
from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.registry import runtime_named
from tests.conftest import SHARED

CONFORMANCE = SHARED / "conformance" / "lookup.jsonl"
TOOL = Path(__file__).parents[2] / "tools" / "conformance.py"
QKV = {"qkv_proj": ("q_proj", "k_proj", "v_proj")}


def lookup_rules_of(runtime: str, version: str) -> LookupRules:
    return runtime_named(runtime).lookup_rules_of(version)


def bound(
    release: str,
    entries: Mapping[str, str],
    excludes: Sequence[str] = (),
    *,
    mapper: ConfigMapper | None = None,
    packed: Mapping[str, tuple[str, ...]] | None = None,
) -> BoundMetadata:
    runtime, version = release.split()
    model = ArchitectureProfile("M", "M", "m.py", mapper, packed)
    profile = RuntimeProfile(runtime, version, "test", {"M": model})
    return runtime_named(runtime).bind(profile, ["M"], entries, excludes)


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="the answers lie in ../shared")
def test_the_lookups_agree_with_the_real_functions_of_twelve_releases() -> None:
    done = subprocess.run(
        [sys.executable, TOOL, CONFORMANCE], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "13500 of 13500 lookups agree" in done.stdout


def test_the_lookups_agree_with_the_functions_of_every_release_that_reads_mixed_precision() -> None:
    recorded = Path(__file__).parents[1] / "data" / "conformance" / "modelopt.jsonl.gz"
    done = subprocess.run(
        [sys.executable, TOOL, recorded], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    answered = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    for runtime, first in (("vllm", "0.17.0"), ("sglang", "0.5.10")):
        known = known_releases(runtime)
        for version in known[known.index(first) :]:
            assert (runtime, version) in answered, f"record {runtime} {version}"


def test_the_replay_reports_disagreements_and_unreadable_files(tmp_path: Path) -> None:
    case = {
        "runtime": "vllm",
        "version": "0.33.0",
        "architectures": ["NemotronHForCausalLM"],
        "quantized_layers": {"backbone.layers.0.mixer.in_proj": {"quant_algo": "FP8"}},
        "exclude_modules": [],
        "expect": [
            {"prefix": "model.layers.0.mixer.in_proj", "excluded": False, "quant_algo": "FP8"}
        ],
    }
    unknown = {**case, "architectures": ["NoSuchModel"]}
    for content, code, message in (
        (json.dumps(case), 0, "1 of 1 lookups agree"),
        (json.dumps(unknown), 1, "NoSuchModel: not registered in vllm 0.33.0"),
        (json.dumps(case).replace("FP8", "NVFP4", 1), 1, "DISAGREES vllm 0.33.0"),
        ("{", 2, "cases.jsonl:1: not a conformance case"),
        (json.dumps({**case, "quantized_layers": []}), 2, "not a conformance case"),
        ("", 2, "nothing to look up"),
    ):
        file = tmp_path / "cases.jsonl"
        file.write_text(content + "\n")
        done = subprocess.run(
            [sys.executable, TOOL, file], check=False, capture_output=True, text=True
        )
        assert done.returncode == code
        assert message in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("release", "name", "expected"),
    [
        ("vllm 0.33.0", "a.x", "c.x"),  # every rule that matches, in order
        ("sglang 0.5.23", "a.x", "b.x"),  # the longest key that matches, once
        ("sglang 0.5.23", "a.b.x", "long.x"),
        ("vllm 0.33.0", "a.b.x", "c.b.x"),
        ("vllm 0.17.1", "r1.x", "r1.x"),  # regex rules came with 0.18.0
        ("vllm 0.18.0", "r1.x", "s1.x"),
        ("vllm 0.28.0", "mtp.x", None),  # a None rule deletes
        ("vllm 0.33.0", "mtp.x", "mtp.x"),  # and is ignored since 0.33.0
        ("sglang 0.5.23", "mtp.x", None),
    ],
)
def test_how_a_release_applies_a_mapper(release: str, name: str, expected: str | None) -> None:
    mapper = ConfigMapper(
        regex=((r"^r(\d)", r"s\1"),),
        prefix=(("a.", "b."), ("b.", "c."), ("a.b.", "long."), ("mtp.", None)),
    )
    assert map_config_name(lookup_rules_of(*release.split()).mapping, mapper, name) == expected


@pytest.mark.parametrize(
    ("release", "name", "how"),
    [
        ("vllm 0.33.0", "m.layers.1.q", "substring"),  # `X*` is split into `X` and `X.*`
        ("vllm 0.33.0", "m.layers.10.q", "substring"),
        ("sglang 0.5.23", "m.layers.1.q", "wildcard"),
        ("sglang 0.5.23", "m.layers.10.q", "wildcard"),
        ("vllm 0.33.0", "language_model.lm_head", "substring"),
        ("sglang 0.5.23", "language_model.lm_head", "exact"),
        ("vllm 0.33.0", "m.layers.2.mlp.experts", "experts"),
        ("vllm 0.33.0", "m.layers.2.o_proj", None),
        ("sglang 0.5.23", "m.layers.2.o_proj", None),
    ],
)
def test_what_excludes_a_module(release: str, name: str, how: str | None) -> None:
    excludes = ["m.layers.1*", "lm_head", "m.layers.2.mlp.experts.7.up_proj"]
    mapper = ConfigMapper(prefix=(("unused", "unused"),))
    resolution = bound(release, {}, excludes, mapper=mapper).resolve(name)
    assert (resolution.excluded.how if resolution.excluded else None) == how
    if resolution.excluded:
        assert resolution.excluded.pattern.original in excludes


@pytest.mark.parametrize("release", ["vllm 0.17.1", "vllm 0.33.0", "sglang 0.5.23"])
def test_members_that_disagree_on_exclusion_are_an_error(release: str) -> None:
    resolution = bound(release, {}, ["m.q_proj"], packed=QKV).resolve("m.qkv_proj")
    assert "some but not all members of m.qkv_proj" in resolution.exclusion_error
    agreed = bound(release, {}, ["m.q_proj", "m.k_proj", "m.v_proj"], packed=QKV)
    assert agreed.resolve("m.qkv_proj").excluded is not None


def test_a_listed_packed_name_excludes_since_vllm_0_24() -> None:
    for release, how in (("vllm 0.20.0", "substring or wildcard"), ("vllm 0.24.0", "exact")):
        resolution = bound(release, {}, ["m.qkv_proj"], packed=QKV).resolve("m.qkv_proj")
        assert resolution.excluded is not None
        assert resolution.excluded.how in how


@pytest.mark.parametrize(
    ("release", "entries", "name", "how"),
    [
        ("vllm 0.17.1", {"m.q": "FP8"}, "m.q", "exact"),
        ("vllm 0.17.1", {"m.x.q_proj": "FP8"}, "m.x.qkv_proj", "packed members"),
        ("vllm 0.17.1", {"m.experts.3.up": "FP8"}, "m.experts", "first entry below"),
        ("vllm 0.22.1", {"m.shared_experts.up": "FP8"}, "m.experts", None),
        ("vllm 0.23.0", {"m.shared_experts.up": "FP8"}, "m.experts", "sibling of experts"),
        ("sglang 0.5.23", {"m.shared_experts.up": "FP8"}, "m.experts", None),
        ("vllm 0.24.0", {"m.gate_proj": "FP8"}, "m.gate_up_proj", None),
        ("vllm 0.25.0", {"m.gate_proj": "FP8"}, "m.gate_up_proj", "built-in packed members"),
        ("sglang 0.5.23", {"m.gate_proj": "FP8"}, "m.gate_up_proj", None),
        ("vllm 0.21.0", {"lm_head": "FP8"}, "language_model.lm_head", None),
        ("vllm 0.22.0", {"lm_head": "FP8"}, "language_model.lm_head", "other spelling"),
        (
            "vllm 0.24.0",
            {"model.language_model.x": "FP8"},
            "language_model.model.x",
            "other spelling",
        ),
        ("vllm 0.33.0", {"model.language_model.x": "FP8"}, "model.x", None),
        ("sglang 0.5.19", {"model.language_model.x": "FP8"}, "model.x", None),
        ("sglang 0.5.20", {"model.language_model.x": "FP8"}, "model.x", "other spelling"),
    ],
)
def test_which_entry_a_module_gets(
    release: str, entries: dict[str, str], name: str, how: str | None
) -> None:
    resolution = bound(release, entries, packed=QKV).resolve(name)
    assert (resolution.resolved.how if resolution.resolved else None) == how
    if resolution.resolved:
        assert resolution.resolved.entry.original in entries


def test_members_with_different_algorithms_are_an_error() -> None:
    entries = {"m.q_proj": "FP8", "m.k_proj": "NVFP4"}
    resolution = bound("vllm 0.33.0", entries, packed=QKV).resolve("m.qkv_proj")
    assert resolution.algo_error == "members of m.qkv_proj have FP8 and NVFP4"
    assert resolution.quant_algo is None


def test_first_is_meant_literally() -> None:
    entries = {"m.experts.9.up": "NVFP4", "m.experts.0.up": "FP8"}
    resolution = bound("vllm 0.33.0", entries).resolve("m.experts")
    assert resolution.quant_algo == "NVFP4"


def test_the_last_of_two_entries_with_one_mapped_name_decides() -> None:
    mapper = ConfigMapper(prefix=(("a.", "b."),))
    resolution = bound("vllm 0.33.0", {"a.x": "FP8", "b.x": "NVFP4"}, mapper=mapper).resolve("b.x")
    assert resolution.quant_algo == "NVFP4"
    assert resolution.resolved is not None
    assert resolution.resolved.entry.original == "b.x"


def test_inner_classes_count_in_vllm_and_not_in_sglang() -> None:
    outer = ArchitectureProfile("Outer", "Outer", "o.py")
    inner = ArchitectureProfile("Inner", "Inner", "i.py", ConfigMapper(prefix=(("a", "b"),)))
    classes = {"Outer": outer, "Inner": inner}
    for runtime, version, expected in (("vllm", "0.33.0", "FP8"), ("sglang", "0.5.23", None)):
        profile = RuntimeProfile(runtime, version, "test", classes)
        asked = runtime_named(runtime).bind(profile, ["Outer", "Inner"], {"a.x": "FP8"}, ())
        assert asked.resolve("b.x").quant_algo == expected


def test_a_release_that_changed_nothing_needs_no_row() -> None:
    assert lookup_rules_of("vllm", "0.31.0") == lookup_rules_of("vllm", "0.30.0")
    assert lookup_rules_of("vllm", "0.99.0") == lookup_rules_of("vllm", "0.33.0")
    with pytest.raises(CkptfixError, match="its name lookup has not been modelled"):
        lookup_rules_of("vllm", "0.1.0")
