"""Small checkpoints with one fault each, judged by real runtimes (`../shared/cases`)."""

import shutil
from pathlib import Path

import pytest

from tests.cases.packed import SHARED_CASES, described, packed, unpack
from tests.replay import RELEASES, Answered, ask, complaint, with_known_layer_kinds

CASES = described()
LAYER_KINDS = "sglang-nemotronh-layers-block-type"


@pytest.mark.parametrize("slug", sorted(CASES))
def test_each_release_is_answered_for_as_it_behaves(slug: str, tmp_path: Path) -> None:
    case = CASES[slug]
    directory = SHARED_CASES / slug
    if not directory.is_dir():
        directory = unpack(slug, tmp_path / "packed")
    got = answers(directory, slug, tmp_path)
    complaints = [
        complaint(
            release,
            slug,
            case["did"],
            loads=case["runtimes"][release]["loads"],
            why=" | ".join(case["runtimes"][release]["why"])[:300],
            got=got[release],
        )
        for release in RELEASES
    ]
    assert not any(complaints), "\n".join(filter(None, complaints))


def answers(directory: Path, slug: str, tmp_path: Path) -> dict[str, Answered]:
    """What `check` answers, for SGLang on the config.json that it was given."""
    got = ask(directory)
    config = (directory / "config.json").read_text()
    if "layers_block_type" in config and slug != LAYER_KINDS:
        copied = Path(shutil.copytree(directory, tmp_path / slug, copy_function=shutil.copyfile))
        copied.chmod(0o755)
        (copied / "config.json").write_text(with_known_layer_kinds(config))
        got |= ask(copied, RELEASES[1:])
    return got


@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason="../shared is not here")
def test_the_packed_cases_are_the_shared_ones(tmp_path: Path) -> None:
    assert packed().keys() == CASES.keys()
    for slug in ("control-llama-mixed", "sglang-nemotronh-mixed-hfq-only", "layers-null-in-config"):
        shared, ours = SHARED_CASES / slug, unpack(slug, tmp_path / slug)
        assert {p.name: p.stat().st_size for p in shared.iterdir()} == {
            p.name: p.stat().st_size for p in ours.iterdir()
        }
        assert (shared / "config.json").read_text() == (ours / "config.json").read_text()
        assert answers(shared, slug, tmp_path / "a") == answers(ours, slug, tmp_path / "b")
