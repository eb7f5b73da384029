"""Metadata broken at random, judged by real runtimes (`../shared/truth`)."""

import gzip
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.conftest import DATA, FIXTURES, SHARED
from tests.replay import RELEASES, Answered, ask, complaint, with_known_layer_kinds

TRUTH = SHARED / "truth" if (SHARED / "truth").is_dir() else DATA / "truth"


def _lines() -> dict[str, dict[str, dict[str, Any]]]:
    """Id -> release -> what it did with that metadata."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(TRUTH.glob("*.jsonl.gz")):
        for text in gzip.decompress(path.read_bytes()).decode().splitlines():
            line = json.loads(text)
            found.setdefault(line["id"], {})[line["runtime"]] = line
    return found


LINES = _lines()
HERE = sorted(id_ for id_, of in LINES.items() if (FIXTURES / of[RELEASES[0]]["from"]).is_dir())


@pytest.mark.parametrize("id_", HERE)
def test_each_release_is_answered_for_as_it_behaves(id_: str) -> None:
    lines = LINES[id_]
    with TemporaryDirectory() as folder:
        got = _answers(lines[RELEASES[0]], Path(folder) / id_)
    complaints = [
        complaint(
            "truth",
            release,
            id_,
            f"{lines[release]['from']}: {', '.join(lines[release]['how'])}",
            loads=lines[release]["loads"],
            why=" | ".join(lines[release]["why"])[:300],
            got=got[release],
        )
        for release in RELEASES
    ]
    assert not any(complaints), "\n".join(filter(None, complaints))


def _answers(line: dict[str, Any], directory: Path) -> dict[str, Answered]:
    _broken(line, directory)
    got = ask(directory)
    config = directory / "config.json"
    if "layers_block_type" in config.read_text():
        config.write_text(with_known_layer_kinds(config.read_text()))
        got |= ask(directory, RELEASES[1:])
    return got


def _broken(line: dict[str, Any], directory: Path) -> Path:
    """The fixture with the broken metadata in place."""
    shutil.copytree(FIXTURES / line["from"], directory)
    directory.chmod(0o755)
    for file, key in (("config.json", "config"), ("hf_quant_config.json", "hf_quant")):
        path = directory / file
        path.unlink(missing_ok=True)
        if line[key] is not None:
            path.write_text(line[key])
    return directory
