"""Metadata of published checkpoints (`../shared/real-configs`): a verdict or a reason for each.

They are other people's files, so none is copied into this repository, and they come without
tensors. A user who downloads the two JSON files only is in the same place.
"""

import shutil
from pathlib import Path

import pytest

from tests.builders import bf16, safetensors_bytes
from tests.conftest import SHARED, Call

ENTRIES = sorted(path.parent.resolve() for path in (SHARED / "real-configs").glob("*/config.json"))
RELEASES = ("--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")
COMMANDS = [("check",), ("check", *RELEASES), ("inspect",)]

pytestmark = pytest.mark.skipif(not ENTRIES, reason="no ../shared/real-configs on this machine")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.name)
def test_metadata_without_tensors_gets_what_it_can_tell(
    entry: Path, command: tuple[str, ...], call: Call
) -> None:
    done = call(command[0], entry, *command[1:])
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {entry}: no .safetensors file; "
        "ckptfix compares metadata with tensors, so it needs the shard files as well\n"
    )
    if command == ("inspect",):
        assert done.stdout == ""
        return
    assert done.stdout.startswith(f"Will {entry} load? (metadata only)\n")
    assert " yes" not in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.name)
def test_with_a_shard_file_the_real_metadata_gets_a_verdict(
    entry: Path, command: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    for path in entry.glob("*.json"):
        shutil.copy(path, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(bf16("lm_head")))
    done = call(command[0], tmp_path, *command[1:])
    assert done.returncode in ((0,) if command == ("inspect",) else (0, 1))
    assert done.stderr == ""
    for release in command[2::2]:
        assert release.replace("==", " ") + ": " in done.stdout
