"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest

from ckptfix.checkpoint.formats.table import FORMATS
from ckptfix.runtimes.name_maps import builtin_maps, compile_rules, parse_name_map
from ckptfix.runtimes.profile_store import known_releases
from docs_families import answered
from generate_docs import COMMANDS, GENERATED

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_current(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == GENERATED[name](), "run make format"


def test_no_page_is_left_of_a_rule_that_is_no_more() -> None:
    pages = {f"rules/{path.name}" for path in (ROOT / "docs" / "rules").iterdir()}
    assert pages == {name for name in GENERATED if name.startswith("rules/")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_in_its_help_and_is_in_the_readme(command: str) -> None:
    help_texts = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"Example: ckptfix {command}" in help_texts
    assert f"ckptfix {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_of_a_mapper_file_is_one() -> None:
    page = (ROOT / "docs" / "mapper.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    mapper = compile_rules(parse_name_map(example, "mapper.md"), "mapper.md")
    assert mapper.map("a.mamba.in_proj") == "a.mixer.in_proj"
    assert mapper.map("mtp.fc") is None


def test_every_format_and_every_built_in_map_is_documented() -> None:
    formats = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\w+) \|", formats, re.MULTILINE)) - {"quant_algo"} == {
        row.quant_algo for row in FORMATS
    }
    maps = (ROOT / "docs" / "mapper.md").read_text(encoding="utf-8")
    for spec in builtin_maps():
        assert all(architecture in maps for architecture in spec.architectures)
        for needed in spec.needed_by:
            assert f"{needed.runtime}{needed.versions}" in maps


def test_every_path_of_the_drawing_is_there_and_every_package_is_drawn() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.partition("    src/ckptfix/\n")[2].partition("    action.yml")[0]
    drawn: set[Path] = set()
    gone = []
    folders = {6: ROOT / "src" / "ckptfix"}
    for line in drawing.splitlines():
        indent = len(line) - len(line.lstrip())
        names = re.findall(r"(?<![\w/.`<])([a-z_]+(?:\.py|/)(?=[\s,;]|$))", line)
        homes = [folders[indent]]
        if names and names[0].endswith("/"):
            homes.append(folders[indent] / names[0])
            folders[indent + 2] = homes[1]
        for name in names:
            found = {home / name for home in homes if (home / name).exists()}
            gone += [] if found else [name]
            drawn |= found
    assert gone == []
    assert len(drawn) > 80
    packages = {path.parent for path in (ROOT / "src" / "ckptfix").glob("*/__init__.py")}
    assert packages <= drawn


def test_the_readme_has_the_number_of_known_architectures() -> None:
    message = (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    for runtime, words in (("vllm", "{} of vLLM {}'s {}"), ("sglang", "{} of SGLang {}'s {}")):
        number, every = answered(runtime)
        assert words.format(number, known_releases(runtime)[-1], every) in message
