"""A quantizer is one file: no other place knows its keys."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Shapes, bf16, fp8, nvfp4, write_checkpoint
from tests.conftest import files_of

DIALECT = '''
"""A quantizer of a test: schemes by name in `plan`, in lists in `groups`, skips in `leave`."""

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, NameList, OwnFile, Role
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement, config_root

ALGOS = {"f8": "FP8", "f4": "NVFP4", "i8": "I8_MADE_UP"}


class MadeUp:
    quantizer = "MadeUp"
    own_files = (OwnFile("madeup.json"),)
    name_fields = ("plan", "leave", "members")
    roles = (Role("codes", is_weight=True), Role("steps", is_scale=True))
    writer = None
    speller = None
    reading = None

    def claim(self, documents):
        fields = self._fields(documents)
        named = fields is not None and fields.text("quant_method") == "made-up"
        return Claim.NAMED if named else Claim.NONE

    def _fields(self, documents):
        config = documents.get("config.json")
        root = config_root(config.value) if config else None
        return None if root is None else Fields.at(config, root)

    def _lists(self, fields):
        for key, group in fields.value.get("groups", {}).items():
            yield "target", ("groups", key, "members"), group["members"], group["scheme"]
        yield "entry", ("plan",), fields.value.get("plan", {}), None
        yield "exclude", ("leave",), fields.value.get("leave", []), None

    def name_lists(self, documents):
        fields = self._fields(documents)
        for _, path, names, _ in self._lists(fields):
            yield NameList("config.json", (*fields.path, *path), names)

    def read(self, documents):
        fields = self._fields(documents)
        root, statements = fields.path, []
        for kind, path, names, scheme in self._lists(fields):
            at = (*root, *path)
            if isinstance(names, list):
                listed = fields.names(kind, at, names)
                algo = ALGOS.get(scheme)
                statements += [Statement(kind, s.name, s.file, s.path, algo) for s in listed]
                continue
            for name, scheme in names.items():
                algo, size = ALGOS.get(scheme), 16 if scheme == "f4" else None
                statements.append(Statement(kind, name, "config.json", (*at, name), algo, size))
        return (
            MetadataFile(
                file="config.json",
                root=root,
                quantizer=self.quantizer,
                producer="made-up 1.0",
                statements=tuple(statements),
                algo_path=(*root, "scheme"),
                entries_path=(*root, "plan"),
                exclude_list=(*root, "leave"),
                takes_regexes=True,
            ),
        )


DIALECT = MadeUp()
'''
RUN = """
import sys
import ckptfix.checkpoint.dialects
ckptfix.checkpoint.dialects.__path__.append(sys.argv.pop(1))
from ckptfix.checkpoint.formats import table
from ckptfix.checkpoint.formats.format import Format
row = Format("I8_MADE_UP", table.INT8, table.CHANNEL, table.BARE, weight="codes", scale="steps")
table.FORMATS = (*table.FORMATS, row)
from ckptfix.__main__ import main
main()
"""
OLD = "language_model.backbone.layers.{}.mixer.in_proj"
NEW = "language_model.model.layers.{}.mixer.in_proj"
QUANTIZATION: dict[str, Any] = {
    "quant_method": "made-up",
    "plan": {OLD.format(0): "f8", OLD.format(1): "f4"},
    "groups": {"eights": {"scheme": "f8", "members": [OLD.format(2)]}},
    "leave": ["re:.*lm_head"],
}
TENSORS: Shapes = {
    **fp8(OLD.format(0)),
    **nvfp4(OLD.format(1)),
    **fp8(OLD.format(2)),
    **bf16("language_model.lm_head"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file: the dialect."""
    made = tmp_path / "dialects"
    made.mkdir()
    (made / "madeup.py").write_text(DIALECT, encoding="utf-8")
    return made


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line with one more folder of dialects, and one more row of stored formats."""
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder), *map(str, arguments)],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={k: v for k, v in os.environ.items() if k != "FORCE_COLOR"},
    )


def model(directory: Path, quantization: dict[str, Any], tensors: Shapes = TENSORS) -> Path:
    architecture = "NemotronH_Nano_VL_V2"
    return write_checkpoint(directory, tensors, quantization, architecture=architecture)


def test_inspect_reads_it_and_shows_where_each_format_is_declared(
    folder: Path, tmp_path: Path
) -> None:
    directory = model(tmp_path / "model", QUANTIZATION)
    done = run(folder, "inspect", directory, "--json")
    assert done.returncode == 0, done.stderr
    inspected = json.loads(done.stdout)
    assert inspected["producer"] == "made-up 1.0"
    stated = {row["stored_format"]: row["stated_in"] for row in inspected["formats"]}
    plan = "config.json /quantization_config/plan"
    assert stated == {"FP8": {plan: 2}, "NVFP4": {plan: 1}, "unquantized": {}}


def test_check_finds_what_is_wrong_in_its_words(folder: Path, tmp_path: Path) -> None:
    plan = {OLD.format(0): "f4", OLD.format(9): "f8"}
    directory = model(tmp_path / "model", {**QUANTIZATION, "plan": plan})
    done = run(folder, "check", directory)
    assert done.returncode == 1, done.stderr
    assert f"{OLD.format(1)}\n    is stored as NVFP4 but plan does not list it" in done.stdout
    assert f"{OLD.format(9)}\n    matches no module of the checkpoint" in done.stdout
    assert f"{OLD.format(0)}\n    is declared as NVFP4 but stored as FP8" in done.stdout
    assert "at config.json /quantization_config/plan" in done.stdout
    assert "at config.json /quantization_config/groups/eights/members" in done.stdout
    assert "CKF103" not in done.stdout, "its patterns may be regular expressions"
    assert "--from-tensors" not in done.stdout, "nobody can write it"
    assert "fix: correct it by hand" in done.stdout


def test_rewrite_renames_its_names(folder: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", QUANTIZATION)
    before = files_of(directory)
    done = run(folder, "rewrite", directory, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert files_of(directory) == before
    assert f'+      "{NEW.format(0)}": "f8",' in done.stdout

    assert run(folder, "rewrite", directory).returncode == 0
    made = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert made == json.loads(json.dumps(QUANTIZATION).replace("backbone", "model"))


def test_experts_are_folded_by_its_lists(folder: Path, tmp_path: Path) -> None:
    """A bank of which one expert is declared in another scheme is not taken for regular."""
    names = [f"model.layers.0.mlp.experts.{n}.up_proj" for n in range(8)]
    tensors = {k: v for name in names for k, v in fp8(name).items()}
    plan = {name: "f4" if name == names[5] else "f8" for name in names}
    quantization = {"quant_method": "made-up", "plan": plan}
    directory = model(tmp_path / "model", quantization, tensors)
    done = run(folder, "check", directory, "--select", "CKF303", "--format", "json")
    (finding,) = json.loads(done.stdout)["checkpoints"][0]["findings"]
    assert finding["subject"] == names[5]


def test_its_own_tensors_are_a_role_and_a_row(folder: Path, tmp_path: Path) -> None:
    name, other = "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"
    tensors: Shapes = {
        f"{name}.codes": ("I8", (32, 64)),
        f"{name}.steps": ("F32", (32,)),
        f"{other}.codes": ("I8", (32, 64)),
        f"{other}.steps": ("F32", (64,)),
    }
    quantization = {"quant_method": "made-up", "plan": {name: "i8", other: "i8"}}
    directory = model(tmp_path / "model", quantization, tensors)
    inspected = json.loads(run(folder, "inspect", directory, "--json").stdout)
    stored = {row["stored_format"]: row["parameters"] for row in inspected["formats"]}
    assert stored == {"I8_MADE_UP": 32 * 64, "unrecognized": 32 * 64}
    done = run(folder, "check", directory, "--select", "CKF301", "--format", "json")
    (finding,) = json.loads(done.stdout)["checkpoints"][0]["findings"]
    assert finding["subject"] == other
    expected = "codes is I8 [32, 64], steps is F32 [64]: the shape of steps fits none of I8_MADE_UP"
    assert expected in finding["message"]


def test_verify_reports_that_it_has_no_decoder(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    name = "model.layers.0.mlp.down_proj"
    tensors: Shapes = {f"{name}.codes": ("I8", (32, 64)), f"{name}.steps": ("F32", (32,))}
    quantization = {"quant_method": "made-up", "plan": {name: "i8"}}
    directory = model(tmp_path / "model", quantization, tensors)
    done = run(folder, "verify", directory, "--device", "cpu")
    assert "Traceback" not in done.stderr
    expected = "ckptfix has no decoder for I8_MADE_UP (codes in codes, scales in steps)"
    assert expected in done.stdout + done.stderr


def test_what_it_cannot_write_is_refused(folder: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", QUANTIZATION)
    done = run(folder, "rewrite", directory, "--from-tensors")
    assert done.returncode == 2
    assert "metadata of MadeUp cannot be rebuilt from tensors" in done.stderr


def test_an_unknown_quantizer_is_reported_by_its_name(folder: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", {"quant_method": "someone-elses"})
    done = run(folder, "check", directory)
    assert done.returncode == 1
    assert '"someone-elses" is not a supported method' in done.stdout
