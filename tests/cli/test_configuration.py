"""What `check` takes from ckptfix.toml and pyproject.toml, and what flags override."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ckptfix.cli.configuration import configuration
from tests.builders import (
    LLAMA_CONFIG,
    whole_llama,
    write_checkpoint,
    write_llama_with_a_warning,
)
from tests.conftest import DATA, Call

NANO_VL = DATA / "nanovl-mixed"
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def codes(call: Call, *arguments: object) -> dict[str, int]:
    (checked,) = json.loads(call("check", *arguments, "--json").stdout)["checkpoints"]
    found: dict[str, int] = {}
    for finding in checked["findings"]:
        found[finding["code"]] = found.get(finding["code"], 0) + 1
    return found


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def both(tmp_path: Path) -> str:
    """A checkpoint with an error CKF105, and a warning CKF503, that every release loads."""
    write_llama_with_a_warning(tmp_path / "models" / "c", "m.x")
    return "models/c"


def test_the_nearest_file_counts(tmp_path: Path, call: Call, both: str) -> None:
    assert codes(call, both) == {"CKF105": 1, "CKF503": 1}
    (tmp_path.parent / "pyproject.toml").write_text('[tool.ckptfix]\nignore = ["CKF1"]\n')
    try:
        assert set(codes(call, both)) == {"CKF503"}
        (tmp_path / "pyproject.toml").write_text("[tool.other]\n")  # says nothing to us
        assert set(codes(call, both)) == {"CKF503"}
        (tmp_path / "pyproject.toml").write_text('[tool.ckptfix]\nignore = ["CKF5"]\n')
        assert set(codes(call, both)) == {"CKF105"}
        (tmp_path / "ckptfix.toml").write_text('select = ["CKF5"]\n')
        assert set(codes(call, both)) == {"CKF503"}
    finally:
        (tmp_path.parent / "pyproject.toml").unlink()


def test_flags_override(tmp_path: Path, call: Call, both: str) -> None:
    (tmp_path / "ckptfix.toml").write_text('select = ["CKF5"]\nfail-on = "error"\n')
    other = tmp_path / "other.toml"
    other.write_text('ignore = ["CKF3", "CKF5"]\n')
    assert call("check", both).returncode == 0
    assert call("check", both, "--fail-on", "warning").returncode == 1
    assert set(codes(call, both, "--select", "CKF1,ckf503")) == {"CKF105", "CKF503"}
    assert set(codes(call, both, "--no-config", "--ignore", "CKF1")) == {"CKF503"}
    assert set(codes(call, both, "--config", other)) == {"CKF105"}
    assert call("check", both, "--config", other, "--no-config").returncode == 2


def test_the_longer_spelling_of_a_code_decides(call: Call, both: str) -> None:
    narrow = codes(call, both, "--select", "CKF503", "--ignore", "CKF5")
    assert set(narrow) == {"CKF503"}
    assert set(codes(call, both, "--ignore", "CKF5,CKF503")) == {"CKF105"}


def test_what_is_left_out_is_counted(call: Call, both: str) -> None:
    done = call("check", both, "--ignore", "CKF1,CKF5")
    assert done.returncode == 0
    assert done.stdout.endswith(f"\n{both}: clean; 2 findings ignored\n")


def test_runtimes_come_from_the_file_and_the_flag_replaces_them(tmp_path: Path, call: Call) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.ckptfix]\nruntimes = ["vllm==0.20.0"]\n')
    assert call("check", NANO_VL).stdout.endswith(f"{NANO_VL}: clean\n")
    assert codes(call, NANO_VL, "--runtime", "vllm==0.17.1") == {"CKF701": 10}


def test_ignored_findings_do_not_change_whether_it_loads(call: Call) -> None:
    done = call("check", NANO_VL, "--runtime", "vllm==0.17.1", "--ignore", "CKF7")
    assert done.returncode == 1
    assert "10 of 23 modules built in a different format than stored" in done.stdout
    told = "does not load on vllm 0.17.1; the next step repairs that; 10 findings ignored"
    assert done.stdout.endswith(f"{NANO_VL}: {told}\n")


def test_what_is_not_known_can_be_allowed(tmp_path: Path, call: Call) -> None:
    config = {**LLAMA_CONFIG, "auto_map": {"AutoModel": "modeling.Own"}}
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    write_checkpoint(
        tmp_path / "c", whole_llama(), quantization, architecture="Own", extra_config=config
    )
    strict = call("check", "c", "--runtime", "vllm==0.33.0")
    assert strict.returncode == 1
    assert strict.stdout.endswith(
        "c: not known whether it loads on vllm 0.33.0; --allow-unknown accepts that\n"
    )
    mild = call("check", "c", "--runtime", "vllm==0.33.0", "--allow-unknown")
    assert mild.returncode == 0
    assert mild.stdout.endswith("c: not known whether it loads on vllm 0.33.0\n")
    (tmp_path / "ckptfix.toml").write_text("allow-unknown = true\n")
    assert call("check", "c").returncode == 0
    assert call("check", "c", "--no-config").returncode == 1
    # A release that is known not to load it is another matter.
    assert call("check", NANO_VL, "--runtime", "vllm==0.17.1").returncode == 1


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("models/*", True), ("c", True), ("models/c/", True), ("*/d", False), ("model", False)],
)
def test_codes_are_ignored_by_path(
    tmp_path: Path, call: Call, both: str, pattern: str, fits: bool
) -> None:
    text = f'select = ["CKF105", "CKF5"]\n[per-path-ignores]\n"{pattern}" = ["CKF1"]\n'
    (tmp_path / "ckptfix.toml").write_text(text)
    shutil.copytree(tmp_path / both, tmp_path / "elsewhere")
    assert set(codes(call, both)) == ({"CKF503"} if fits else {"CKF105", "CKF503"})
    assert set(codes(call, "elsewhere")) == {"CKF105", "CKF503"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runtime = []", "unknown key 'runtime'; did you mean runtimes"),
        ("zzz = 1", "unknown key 'zzz'; known are runtimes, select, ignore, per-path-ignores"),
        ('runtimes = "vllm"', "runtimes: expected array, got str"),
        ("select = [1]", "select[0]: expected str, got int"),
        ('fail-on = "never"', "fail-on: invalid enum value 'never'"),
        ('ignore = ["CKF1011"]', "ignore: there is no rule 'CKF1011'; did you mean CKF101"),
        ('select = ["E501"]', "select: there is no rule 'E501'"),
        ('[per-path-ignores]\n"a" = ["CKF9"]', "per-path-ignores.a: there is no rule 'CKF9'"),
        ("select = [", "not valid TOML"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    tmp_path: Path, call: Call, both: str, text: str, message: str
) -> None:
    (tmp_path / "ckptfix.toml").write_text(text)
    done = call("check", both)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'ckptfix.toml'}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config", "nowhere.toml"), "nowhere.toml: No such file or directory"),
        (("--config", "pyproject.toml"), "pyproject.toml: has no [tool.ckptfix]"),
        (("--select", "CKF7o1"), "--select: there is no rule 'CKF7O1'; did you mean CKF701"),
        (("--ignore", ""), "--ignore is empty"),
        (("--json", "--format", "sarif"), "--json cannot be used with --format sarif"),
        (("--runtime", "tgi"), "--runtime tgi: unknown runtime"),
    ],
)
def test_wrong_flags(
    tmp_path: Path, call: Call, both: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    done = call("check", both, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_example_in_the_docs_is_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "ckptfix.toml"
    path.write_text(example)
    found = configuration(str(path), none=False)
    assert found.settings.fail_on == "error"
    assert found.ignored_in(str(tmp_path / "models" / "experimental-1")) == ("CKF2",)
    assert found.ignored_in(str(tmp_path / "models" / "other")) == ()
    for key in found.settings.__struct_fields__:
        assert f"| `{key.replace('_', '-')}` |" in PAGE.read_text()
