"""Small checkpoints whose configs and tensors are as those of published models.

The library's default configs leave out what these have: convolutions, towers, draft layers, lists
longer than the number of layers, sizes that follow from nothing else. What the runtimes did is
real.
"""

from pathlib import Path

import pytest

from tests.cases.exports import contradictions, exports
from tests.cases.packed import write
from tests.replay import ask

LINES = exports("like_published")
KNOWN = [
    (slug, release)
    for slug, line in sorted(LINES.items())
    for release, done in line["runtimes"].items()
    if done["loads"]
]


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    wrong = contradictions(LINES[slug], tmp_path)
    assert not wrong, wrong


@pytest.mark.parametrize(("slug", "release"), KNOWN)
def test_what_is_known_to_load_is_a_yes(slug: str, release: str, tmp_path: Path) -> None:
    assert ask(write(LINES[slug], tmp_path / slug), (release,))[release].answer == "yes"
