"""Which transformers a release is learned with, and for which config.json it then counts."""

from pathlib import Path

import pytest

from learn_places import pinned_transformers
from place_learner import provenance


@pytest.mark.parametrize(
    ("wanted", "pinned"),
    [
        ("==5.3.0", "5.3.0"),
        ("<5,>=4.56.0", "4.57.6"),
        (">=4.56,<5.0", "4.57.6"),
        ("!=5.0.*,!=5.1.*,>=4.56.0", ""),
        (">=5.16.1,<5.21", ""),
    ],
)
def test_the_release_of_transformers(tmp_path: Path, wanted: str, pinned: str) -> None:
    folder = tmp_path / "made-1.0.dist-info"
    folder.mkdir()
    text = f"Name: made\nRequires-Dist: transformers{wanted}\nRequires-Dist: torch<5\n"
    (folder / "METADATA").write_text(text)
    assert pinned_transformers(tmp_path) == pinned


@pytest.mark.parametrize(("architecture", "only"), [("Own", ""), ("Other", "llama")])
def test_a_config_of_another_architecture_counts_for_its_type_only(
    architecture: str, only: str
) -> None:
    config = {"architectures": ["Own"], "model_type": "llama"}
    result = {"architecture": architecture, "source": "real", "config": config}
    assert provenance._only_type({**result, "config_from": "org--own"}) == only
