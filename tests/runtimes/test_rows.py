"""Specifiers of our data hold for the releases for which packaging says so."""

import re

import pytest
from packaging.specifiers import SpecifierSet

from ckptfix.runtimes.common.rows import bounds, covers
from ckptfix.runtimes.facts import FACTS
from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.registry import known_runtimes

_QUOTED = re.compile(r'"([<>=~!]=?[0-9][^"\n]*)"')
TEXTS = [*FACTS.rglob("*.toml"), *FACTS.rglob("runtime.py")]
WRITTEN = sorted({found for path in TEXTS for found in _QUOTED.findall(path.read_text("utf-8"))})
RELEASES = [release for runtime in known_runtimes() for release in known_releases(runtime)]


@pytest.mark.parametrize("versions", [*WRITTEN, "", "<0.5.10.post1", "<=0.5.10"])
def test_a_specifier_covers_what_packaging_says(versions: str) -> None:
    said = SpecifierSet(versions)
    assert {r: covers(versions, r) for r in RELEASES} == {
        r: said.contains(r, prereleases=True) for r in RELEASES
    }


def test_the_data_has_specifiers() -> None:
    assert len(WRITTEN) > 10


@pytest.mark.parametrize("versions", [">0.17", "==0.17", "~=0.17", "!=0.17", "<0.17rc1", "0.17"])
def test_a_specifier_that_our_data_does_not_use_is_refused(versions: str) -> None:
    with pytest.raises(ValueError, match="is not a version after"):
        bounds(versions)
