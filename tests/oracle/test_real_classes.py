"""The profile of vLLM 0.33.0 against its real model classes: `make oracle` (a minute)."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ckptfix.runtimes.profile import ArchitectureProfile
from ckptfix.runtimes.profile_store import load_profile
from tests.conftest import SHARED

pytestmark = pytest.mark.oracle

PYTHON = Path(os.environ.get("ORACLE_HOME", Path.home() / ".cache" / "ckptfix-oracle")) / (
    "venv/bin/python"
)
KINDS = ("regex", "substr", "prefix", "suffix")


def described(profile: ArchitectureProfile) -> dict[str, object]:
    mapper, packed = profile.mapper, profile.packed_modules
    module = profile.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return {
        "class": profile.class_name,
        "module": module,
        "supports_quant": profile.supports_quant,
        "mapper": mapper and {k: [list(rule) for rule in getattr(mapper, k)] for k in KINDS},
        "packed": None if packed is None else [[name, list(packed[name])] for name in packed],
    }


def test_the_profile_holds_what_the_real_classes_hold() -> None:
    oracle = SHARED / "oracle"
    if not PYTHON.exists() or not oracle.is_dir():
        pytest.skip("the oracle is not set up: make oracle")
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("real_classes.py"), oracle],
        check=True,
        capture_output=True,
        text=True,
    )
    real = json.loads(done.stdout)
    profile = load_profile("vllm", "0.33.0").architectures
    assert set(profile) == set(real)
    imported = {name for name, facts in real.items() if "cannot_be_imported" not in facts}
    assert len(imported) >= 400
    assert {n: described(profile[n]) for n in imported} == {n: real[n] for n in imported}
